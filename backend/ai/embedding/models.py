"""Which model makes vectors: the built-in one, one of sentence-transformers, or an endpoint's.

model = open_model(ModelChoice.from_env(env), data_dir)
model.encode(["How long is the runway?"])    # float32, (1, model.dimensions), unit rows
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, Self

from backend.ai.embedding.cache import EDITION
from backend.ai.embedding.engine import Embedder, Vectors
from backend.chassis.settings import Env, Secret, SettingsError

BUILT_IN = f"built-in:{EDITION}"
_TORCH = "sentence-transformers:"
_ENDPOINT = "endpoint:"


class ModelUnavailable(Exception):
    """The model cannot be opened or does not answer; the message says what to do."""


class EmbeddingModel(Protocol):
    """Makes unit vectors of texts. Safe to share between threads."""

    @property
    def dimensions(self) -> int:
        """How long a vector is; asks the model where nobody knows."""
        ...

    def encode(self, texts: Sequence[str]) -> Vectors:
        """A float32 row of length one for each text, or ModelUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """What the settings say. *name* is the same for the same vectors, and only then."""

    name: str = BUILT_IN
    # Where the model is asked, or the folder it is read from.
    address: str | None = None
    api_key: Secret | None = None

    @classmethod
    def from_env(cls, env: Env) -> Self:
        model = env.optional("EMBEDDING_MODEL")
        url = env.optional("EMBEDDING_BASE_URL")
        if url is not None:
            if model is None:
                raise SettingsError("EMBEDDING_BASE_URL is set; set EMBEDDING_MODEL as well.")
            key = env.optional("EMBEDDING_API_KEY")
            return cls(_ENDPOINT + model, url.rstrip("/"), Secret(key) if key else None)
        if model is None:
            return cls()
        from backend.ai.embedding.sentence_transformers import NOT_INSTALLED, fingerprint

        if find_spec("torch") is None or find_spec("sentence_transformers") is None:
            raise SettingsError(NOT_INSTALLED.format(model=model))
        return cls(_TORCH + fingerprint(model), model)

    def known_as(self, name: str, address: str | None) -> "ModelChoice":
        """Another model, as it was once written down; the key goes to our own address alone."""
        same = address is not None and address == self.address
        return ModelChoice(name, address, self.api_key if same else None)


def open_model(choice: ModelChoice, data_dir: Path, built_in: Embedder) -> EmbeddingModel:
    """The model of *choice*, or ModelUnavailable. An endpoint is not asked yet."""
    if choice.name == BUILT_IN:
        return built_in
    if choice.name.startswith(_ENDPOINT) and choice.address:
        from backend.ai.embedding.endpoint import EndpointModel

        return EndpointModel(choice.address, choice.name.removeprefix(_ENDPOINT), choice.api_key)
    if choice.name.startswith(_TORCH) and choice.address:
        from backend.ai.embedding.sentence_transformers import open_transformer

        return open_transformer(choice.address, data_dir)
    raise ModelUnavailable(f"The embedding model {choice.name} is not part of this version.")
