"""The built-in embedder of English: all-MiniLM-L6-v2."""

from collections.abc import Sequence

from backend.ai.embedder import Vectors
from backend.ai.embedding.onnx_encoder import DIMENSIONS, OnnxEncoder
from backend.ai.embedding.tokenizer import EmbeddingTokenizer
from backend.ai.model_files import EMBEDDING_FILES, EMBEDDING_GRAPH, find_model_file


class BuiltInEmbedder:
    """Converts texts to unit vectors of length 384.

    The model, about 35 MB, is loaded with the first text in 0.1 s and freed when it is idle. Safe
    to share between threads. Create it after a fork, never before: its threads do not survive one.
    """

    dimensions = DIMENSIONS

    def __init__(self, threads: int | None = None) -> None:
        self.tokenizer = EmbeddingTokenizer()
        self._encoder = OnnxEncoder(
            EMBEDDING_GRAPH, lambda ids, mask: {"ids": ids, "mask": mask}, threads
        )

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return a float32 matrix with one unit row per text. Texts are truncated to 256 tokens."""
        return self._encoder.encode([self.tokenizer.encode(text).ids for text in texts])

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
        self._encoder.load()
