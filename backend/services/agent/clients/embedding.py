"""The chassis' embedding model, opened at its first text and after any fork."""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from backend.ai.embedding import Embedder


class LateEmbedder:
    """Costs nothing until somebody asks: its runtime takes a while to import."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._lock = Lock()
        self._opened: Embedder | None = None

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One unit vector for each text."""
        return self._embedder().encode(texts)

    def _embedder(self) -> "Embedder":
        with self._lock:
            if self._opened is None:
                from backend.ai.embedding import Embedder

                # One thread: a request embeds a handful of sentences.
                self._opened = Embedder(self._data_dir, threads=1)
            return self._opened
