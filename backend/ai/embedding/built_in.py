"""The built-in embedder of English: all-MiniLM-L6-v2."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backend.ai.embedder import Vectors
from backend.ai.embedding.lazy_model import LazyModel
from backend.ai.embedding.onnx_encoder import DIMENSIONS, Inputs, OnnxEncoder
from backend.ai.embedding.tokenizer import EmbeddingTokenizer
from backend.ai.model_files import (
    EMBEDDING_FILES,
    EMBEDDING_GRAPH,
    EMBEDDING_WORDS,
    find_model_file,
)


class BuiltInEmbedder:
    """Converts texts to unit vectors of length 384.

    The model, about 15 MB and a file of 23 MB that processes share, is loaded with the first text
    in 0.1 s and freed when it is idle. Safe to share between threads. Create it after a fork, never
    before: its threads do not survive one.
    """

    dimensions = DIMENSIONS

    def __init__(self, threads: int | None = None, threads_per_batch: int = 1) -> None:
        """See `OnnxEncoder` for *threads* and *threads_per_batch*."""
        self.tokenizer = EmbeddingTokenizer()
        self._encoder = OnnxEncoder(EMBEDDING_GRAPH, self._build_inputs, threads, threads_per_batch)
        self._words = LazyModel(_map_words)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return a float32 matrix with one unit row per text. Texts are truncated to 256 tokens."""
        return self._encoder.encode([self.tokenizer.encode(text) for text in texts])

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of `encode`: the model does not distinguish queries."""
        return self.encode(texts)

    def check_installed(self) -> None:
        """Check that the model's files exist, without loading them.

        Raises:
            ModelFilesError: one is missing.
        """
        for name in EMBEDDING_FILES:
            find_model_file(name)

    def load(self) -> None:
        """Load the model, so that the next text is embedded without delay.

        Raises:
            ModelFilesError: the model is not installed.
        """
        self.tokenizer.load()
        self._encoder.load()

    def _build_inputs(self, ids: NDArray[np.int32], mask: NDArray[np.int32]) -> Inputs:
        return {"words": self._words.get()[ids].astype(np.float32), "mask": mask}


def _map_words() -> NDArray[np.float16]:
    """Return the embeddings of the tokens by id. Only those that occur are read from the file."""
    words: NDArray[np.float16] = np.load(find_model_file(EMBEDDING_WORDS), mmap_mode="r")
    return words
