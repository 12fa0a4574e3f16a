"""Interface of text embedders, for code that compares texts and does not depend on one model."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """Converts texts to unit vectors. The dot product of two vectors is their cosine similarity."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return a float32 matrix with one unit vector per text, as rows."""
        ...
