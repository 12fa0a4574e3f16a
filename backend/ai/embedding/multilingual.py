"""The embedder of all languages: multilingual-e5-small with vectors centred by language.

The model gives texts of one language similar vectors, so that a question finds texts in its own
language first. Subtracting the mean vector of the language removes this.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from backend.ai.embedder import Vectors
from backend.ai.embedding.language_means import LanguageMeans
from backend.ai.embedding.lazy_model import LazyModel
from backend.ai.embedding.onnx_encoder import DIMENSIONS, Inputs, OnnxEncoder
from backend.ai.embedding.piece_tokenizer import PieceTokenizer
from backend.ai.embedding.word_table import WordTable
from backend.ai.model_files import (
    MULTILINGUAL_FILES,
    MULTILINGUAL_GRAPH,
    MULTILINGUAL_WORDS,
    find_model_file,
    list_missing_files,
)

# The model was trained with these prefixes.
QUERY: Final = "query: "
PASSAGE: Final = "passage: "


class MultilingualEmbedder:
    """Converts texts to unit vectors of length 384.

    The model, about 80 MB, is loaded with the first text in 0.2 s and freed when it is idle. Safe
    to share between threads. Create it after a fork, never before: its threads do not survive one.
    """

    dimensions = DIMENSIONS

    def __init__(self, threads: int | None = None, threads_per_batch: int = 1) -> None:
        """See `OnnxEncoder` for *threads* and *threads_per_batch*."""
        self.tokenizer = PieceTokenizer()
        self._encoder = OnnxEncoder(
            MULTILINGUAL_GRAPH, self._build_inputs, threads, threads_per_batch
        )
        self._means = LanguageMeans()
        self._words = LazyModel(lambda: WordTable(find_model_file(MULTILINGUAL_WORDS), DIMENSIONS))

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row per passage. Texts are truncated to 512 tokens."""
        return self._means.center_passages(texts, self.encode_uncentred(PASSAGE, texts))

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row per query, to compare with the rows of passages."""
        return self._means.center_queries(texts, self.encode_uncentred(QUERY, texts))

    def encode_uncentred(self, prefix: str, texts: Sequence[str]) -> Vectors:
        """Return the model's own vectors of *texts* with *prefix*, of which means are made."""
        return self._encoder.encode([self.tokenizer.encode(prefix + text) for text in texts])

    def is_installed(self) -> bool:
        """Return whether the model's files exist, without loading them."""
        return not set(MULTILINGUAL_FILES) & set(list_missing_files())

    def load(self) -> None:
        """Load the model, so that the next text is embedded without delay.

        Raises:
            ModelFilesError: the model is not installed.
        """
        self.tokenizer.load()
        self._encoder.load()

    def _build_inputs(self, ids: NDArray[np.int32], mask: NDArray[np.int32]) -> Inputs:
        return {"words": self._words.get().look_up(ids), "mask": mask}
