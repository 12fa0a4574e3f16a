"""Built-in embedding model that is loaded on first use."""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from backend.ai.embedding import BuiltInEmbedder


class LazyEmbedder:
    """Loads the embedding model on the first call, which is after the worker was forked.

    Importing the model's runtime takes seconds.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._lock = Lock()
        self._embedder: BuiltInEmbedder | None = None

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector per text, as an array of shape (len(texts), dimensions)."""
        return self._get_embedder().encode(texts)

    def _get_embedder(self) -> "BuiltInEmbedder":
        with self._lock:
            if self._embedder is None:
                from backend.ai.embedding import BuiltInEmbedder

                # One thread: a request embeds a handful of sentences.
                self._embedder = BuiltInEmbedder(self._data_dir, threads=1)
            return self._embedder
