"""Registry of embedding engines, and the configuration that selects one.

    model = open_embedding_model(EmbeddingConfig.from_env(env), data_dir, built_in, multilingual)
    model.encode_queries(["How long is it?"])    # float32, (1, model.dimensions), unit rows

To support another engine, add a module that opens its models and a row to `_ENGINES`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self

from backend.ai.embedder import Embedder, Vectors
from backend.ai.embedding.built_in import BuiltInEmbedder
from backend.ai.embedding.multilingual import MultilingualEmbedder
from backend.ai.model_files import EMBEDDING_VERSION, MULTILINGUAL_VERSION
from backend.chassis.settings import Env, Secret, SettingsError

# Model names are stored with the vectors, so these prefixes must not change.
BUILT_IN: Final = f"built-in:{EMBEDDING_VERSION}"
MULTILINGUAL: Final = f"built-in:{MULTILINGUAL_VERSION}"
_SENTENCE_TRANSFORMERS: Final = "sentence-transformers:"
_ENDPOINT: Final = "endpoint:"


class EmbeddingModelUnavailable(Exception):
    """The model cannot be opened or does not respond. The message says what to do."""


class EmbeddingModel(Embedder, Protocol):
    """An embedder whose vectors can be stored. Safe to share between threads.

    `encode` returns vectors of passages. Both methods raise EmbeddingModelUnavailable if the model
    does not respond.
    """

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one unit vector per query, to compare with the vectors of passages."""
        ...

    @property
    def dimensions(self) -> int:
        """The length of a vector. Embeds a text if the length is not yet known."""
        ...


@dataclass(frozen=True, slots=True)
class EmbeddingConfig:
    """The configured embedding model.

    Two configurations have the same `name` if and only if they produce the same vectors.

    Attributes:
        is_fixed: whether the operator selected the model. Otherwise the built-in model for English
            serves, and the multilingual one where other languages occur.
    """

    name: str = BUILT_IN
    # The endpoint's URL, or the name or folder of a sentence-transformers model.
    address: str | None = None
    api_key: Secret | None = None
    is_fixed: bool = False

    @property
    def chooses_by_language(self) -> bool:
        return self.name == BUILT_IN and not self.is_fixed

    @classmethod
    def from_env(cls, env: Env) -> Self:
        """Read `EMBEDDING_MODEL`, `EMBEDDING_BASE_URL` and `EMBEDDING_API_KEY`.

        Raises:
            SettingsError: the model name is missing, or torch is not installed.
        """
        model = env.optional("EMBEDDING_MODEL")
        url = env.optional("EMBEDDING_BASE_URL")
        if url is not None:
            if model is None:
                raise SettingsError("EMBEDDING_BASE_URL is set; set EMBEDDING_MODEL as well.")
            key = env.optional("EMBEDDING_API_KEY")
            return cls(_ENDPOINT + model, url.rstrip("/"), Secret(key) if key else None)
        if model is None:
            return cls()
        if model in (BUILT_IN, MULTILINGUAL):
            return cls(model, is_fixed=True)
        from backend.ai.embedding.sentence_transformers import (
            NOT_INSTALLED,
            compute_model_id,
            is_installed,
        )

        if not is_installed():
            raise SettingsError(NOT_INSTALLED.format(model=model))
        return cls(_SENTENCE_TRANSFORMERS + compute_model_id(model), model)

    def for_stored_model(self, name: str, address: str | None) -> "EmbeddingConfig":
        """Return the configuration of a model that is recorded in the database.

        The result has the API key only if *address* is the configured address.
        """
        is_same_address = address is not None and address == self.address
        return EmbeddingConfig(name, address, self.api_key if is_same_address else None)


@dataclass(frozen=True, slots=True)
class _Engine:
    """An embedding engine, which opens the models whose names have its prefix.

    `open` takes the configuration's address, the model name without the prefix, the API key and
    the data folder. Its module is imported on first use, because it may need large packages.
    """

    name_prefix: str
    open: Callable[[str, str, Secret | None, Path], EmbeddingModel]


def _open_endpoint(
    address: str, model: str, api_key: Secret | None, _data_dir: Path
) -> EmbeddingModel:
    from backend.ai.embedding.endpoint import EndpointEmbedder

    return EndpointEmbedder(address, model, api_key)


def _open_sentence_transformer(
    address: str, _model: str, _api_key: Secret | None, data_dir: Path
) -> EmbeddingModel:
    from backend.ai.embedding.sentence_transformers import open_sentence_transformer

    return open_sentence_transformer(address, data_dir)


_ENGINES: Final = (
    _Engine(_ENDPOINT, _open_endpoint),
    _Engine(_SENTENCE_TRANSFORMERS, _open_sentence_transformer),
)


def open_embedding_model(
    config: EmbeddingConfig,
    data_dir: Path,
    built_in: BuiltInEmbedder,
    multilingual: MultilingualEmbedder,
) -> EmbeddingModel:
    """Return the model of *config*; *built_in* or *multilingual* for the built-in ones.

    An endpoint is not contacted before the first text.

    Raises:
        EmbeddingModelUnavailable: the model cannot be loaded, or no engine supports its name.
    """
    if config.name == BUILT_IN:
        return built_in
    if config.name == MULTILINGUAL:
        if not multilingual.is_installed():
            raise EmbeddingModelUnavailable(
                "The files of the multilingual embedding model are missing. Install them with: "
                "./start_microservices.sh install"
            )
        return multilingual
    for engine in _ENGINES:
        if config.name.startswith(engine.name_prefix) and config.address:
            model = config.name.removeprefix(engine.name_prefix)
            return engine.open(config.address, model, config.api_key, data_dir)
    raise EmbeddingModelUnavailable(
        f"This version does not support the embedding model {config.name}."
    )
