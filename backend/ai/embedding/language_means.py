"""Mean vectors of languages under the multilingual embedding model.

`language_means.npz` contains a mean for queries and one for passages of each language, and for
texts in other languages (""). `benchmarks/rag/language_means.py` computes them and names the texts.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from backend.ai.embedder import Vectors
from backend.ai.text.languages import detect_language

FILE: Final = Path(__file__).with_name("language_means.npz")


class LanguageMeans:
    """Centres vectors by the language of their texts. The means are loaded with the first text."""

    def center_queries(self, texts: Sequence[str], rows: Vectors) -> Vectors:
        """Return the unit vectors *rows* of queries, centred and of length one again."""
        return self._center(texts, rows, self._means["queries"])

    def center_passages(self, texts: Sequence[str], rows: Vectors) -> Vectors:
        """Return the unit vectors *rows* of passages, centred and of length one again."""
        return self._center(texts, rows, self._means["passages"])

    def _center(self, texts: Sequence[str], rows: Vectors, means: NDArray[np.float16]) -> Vectors:
        positions = [self._positions.get(detect_language(text), 0) for text in texts]
        centred = rows - means[positions]
        centred /= np.linalg.norm(centred, axis=1, keepdims=True)
        return centred

    @cached_property
    def _means(self) -> dict[str, NDArray[np.float16]]:
        with np.load(FILE) as arrays:
            return {name: arrays[name] for name in ("queries", "passages")}

    @cached_property
    def _positions(self) -> dict[str, int]:
        with np.load(FILE) as arrays:
            return {language: row for row, language in enumerate(arrays["languages"].tolist())}
