"""Embedding models of the sentence-transformers library. Needs the extra `torch`."""

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from backend.ai.embedder import Vectors
from backend.ai.embedding.registry import EmbeddingModelUnavailable

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

NOT_INSTALLED = (
    "EMBEDDING_MODEL={model} needs torch, which is not installed. Install it with: "
    "./start_microservices.sh install --extra torch"
)
_BATCH_SIZE = 32
# Number of bytes at the start and at the end of a file that enter the digest.
_DIGEST_BYTES = 1 << 20


class SentenceTransformerEmbedder:
    """Embeds texts with a loaded model, on the device that torch selects."""

    def __init__(self, model: "SentenceTransformer") -> None:
        self._model = model
        # Embed a text to measure the dimensions: the method that returns them has different names
        # in different versions.
        self.dimensions = int(model.encode(["a"], show_progress_bar=False).shape[1])

    def encode(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.empty((0, self.dimensions), np.float32)
        rows = self._model.encode(
            list(texts), batch_size=_BATCH_SIZE, normalize_embeddings=True, show_progress_bar=False
        )
        return np.asarray(rows, np.float32)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of `encode`. Prefixes of a model are part of its own configuration."""
        return self.encode(texts)


def is_installed() -> bool:
    """Return True if the extra `torch` is installed."""
    return find_spec("torch") is not None and find_spec("sentence_transformers") is not None


def open_sentence_transformer(model: str, data_dir: Path) -> SentenceTransformerEmbedder:
    """Load *model*, a folder or a model name. Named models are downloaded to the data folder once.

    Raises:
        EmbeddingModelUnavailable: torch is not installed, or the model cannot be loaded.
    """
    if not is_installed():
        raise EmbeddingModelUnavailable(NOT_INSTALLED.format(model=model))
    from sentence_transformers import SentenceTransformer

    try:
        # Code that a model repository contains must not run.
        loaded = SentenceTransformer(
            model, cache_folder=str(data_dir / "models"), trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise EmbeddingModelUnavailable(
            f"The embedding model {model} could not be loaded. Set EMBEDDING_MODEL to the name or "
            "the folder of a sentence-transformers model."
        ) from error
    return SentenceTransformerEmbedder(loaded)


def compute_model_id(model: str) -> str:
    """Return *model*, or for a folder its name and a digest of its files.

    The digest changes if the model in the folder is trained further. Only both ends of large files
    are read: this suffices to detect the change, and reading the whole files would take seconds.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return model
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        size = file.stat().st_size
        digest.update(f"{file.relative_to(folder)}\0{size}\0".encode())
        with file.open("rb") as content:
            digest.update(content.read(_DIGEST_BYTES))
            content.seek(max(0, size - _DIGEST_BYTES))
            digest.update(content.read(_DIGEST_BYTES))
    return f"{folder.name}@{digest.hexdigest()[:16]}"
