"""Word embeddings with 4 bits a weight in a memory-mapped file.

A row has blocks of 32 weights: a scale in half precision and 16 bytes. The low half of byte i is
weight i, the high half weight i + 16; a weight is (half - 8) * scale. Only the pages of the words
that occur are read from the file, and processes share them.
"""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

BLOCK_WEIGHTS: Final = 32
BLOCK: Final = np.dtype([("scale", "<f2"), ("halves", "u1", BLOCK_WEIGHTS // 2)])


class WordTable:
    """The embeddings of the tokens of a vocabulary, by token id."""

    def __init__(self, path: Path, dimensions: int) -> None:
        self._blocks = np.memmap(path, BLOCK, "r").reshape(-1, dimensions // BLOCK_WEIGHTS)

    def look_up(self, ids: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return the embeddings of *ids*, of shape (*ids.shape, dimensions)."""
        unique_ids, positions = np.unique(ids, return_inverse=True)
        return dequantize(self._blocks[unique_ids])[positions.reshape(ids.shape)]


def dequantize(blocks: NDArray[np.void]) -> NDArray[np.float32]:
    """Return the weights of *blocks* of shape (rows, blocks), as (rows, 32 * blocks)."""
    halves = blocks["halves"]
    weights = np.concatenate([halves & 15, halves >> 4], axis=2).astype(np.float32)
    weights -= 8
    weights *= blocks["scale"].astype(np.float32)[:, :, None]
    return weights.reshape(len(blocks), -1)
