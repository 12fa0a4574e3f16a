"""Vectors of recent questions, so that a question is embedded once for search and selection."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from backend.ai.embedder import Vectors
from backend.services.rag.store.vectors import Vector

# Questions also repeat when users page or retry. A vector of 384 dimensions has 1.5 kB.
_MAX_VECTORS: Final = 512


class QueryVectors:
    """Cache of the vectors of the most recent questions, by model. Shared between threads."""

    def __init__(self) -> None:
        self._vectors: OrderedDict[tuple[str, str], Vector] = OrderedDict()
        self._lock = threading.Lock()

    def embed_query(
        self, model: str, text: str, encode: Callable[[Sequence[str]], Vectors]
    ) -> Vector:
        """Return the vector of *text*. On a miss, compute it with *encode*, which runs *model*."""
        key = model, text
        with self._lock:
            if key in self._vectors:
                self._vectors.move_to_end(key)
                return self._vectors[key]
        vector: Vector = encode([text])[0]
        with self._lock:
            self._vectors[key] = vector
            if len(self._vectors) > _MAX_VECTORS:
                self._vectors.popitem(last=False)
        return vector
