"""Any model of sentence-transformers, by name or folder. Needs the extra `torch`."""

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from backend.ai.embedding.engine import Vectors
from backend.ai.embedding.models import ModelUnavailable

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

NOT_INSTALLED = (
    "EMBEDDING_MODEL={model} needs torch, which is not installed. Install it with: "
    "./start_microservices.sh install --extra torch"
)
_BATCH = 32
_END_BYTES = 1 << 20


class TransformerModel:
    """Runs a loaded model on whatever device torch finds."""

    def __init__(self, model: "SentenceTransformer") -> None:
        self._model = model
        # By trying: the method that tells has had several names.
        self.dimensions = int(model.encode(["a"], show_progress_bar=False).shape[1])

    def encode(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.empty((0, self.dimensions), np.float32)
        rows = self._model.encode(
            list(texts), batch_size=_BATCH, normalize_embeddings=True, show_progress_bar=False
        )
        return np.asarray(rows, np.float32)


def open_transformer(model: str, data_dir: Path) -> TransformerModel:
    """Load *model*; one that is no folder is fetched into the data folder once."""
    if find_spec("torch") is None or find_spec("sentence_transformers") is None:
        raise ModelUnavailable(NOT_INSTALLED.format(model=model))
    from sentence_transformers import SentenceTransformer

    try:
        # No code of a model's own: a model is data here.
        loaded = SentenceTransformer(
            model, cache_folder=str(data_dir / "models"), trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise ModelUnavailable(
            f"The embedding model {model} could not be loaded. Set EMBEDDING_MODEL to the name or "
            "the folder of a model of sentence-transformers."
        ) from error
    return TransformerModel(loaded)


def fingerprint(model: str) -> str:
    """*model*, and for a folder a digest of its files: trained on, it is another model.

    Of large files the ends are enough, and reading all of them would take seconds.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return model
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        size = file.stat().st_size
        digest.update(f"{file.relative_to(folder)}\0{size}\0".encode())
        with file.open("rb") as content:
            digest.update(content.read(_END_BYTES))
            content.seek(max(0, size - _END_BYTES))
            digest.update(content.read(_END_BYTES))
    return f"{folder.name}@{digest.hexdigest()[:16]}"
