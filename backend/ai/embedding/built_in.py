"""The built-in embedder: all-MiniLM-L6-v2 on onnxruntime, with one session per process."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Encoding

from backend.ai.embedder import Vectors
from backend.ai.embedding.lazy_model import LazyModel
from backend.ai.embedding.tokenizer import EmbeddingTokenizer
from backend.ai.model_files import EMBEDDING_FILES, EMBEDDING_GRAPH, find_model_file

DIMENSIONS = 384
# Maximum number of tokens of one batch, including padding. Larger batches were slower, because
# their intermediate values exceed the processor's cache.
MAX_BATCH_TOKENS = 1024


class BuiltInEmbedder:
    """Converts texts to unit vectors of length 384.

    The model, about 35 MB, is loaded with the first text in 0.1 s and freed when it is idle. Safe
    to share between threads. Create it after a fork, never before: its threads do not survive one.
    """

    dimensions = DIMENSIONS

    def __init__(self, threads: int | None = None) -> None:
        self.tokenizer = EmbeddingTokenizer()
        # Use half of the processors: the ingestion of a large document must leave time for other
        # services.
        self._threads = threads or max(1, min(4, (os.cpu_count() or 1) // 2))
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="embedding")
        self._session = LazyModel(_open_session)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return a float32 matrix with one unit row per text. Texts are truncated to 256 tokens."""
        session = self._session.get()
        encodings = [self.tokenizer.encode(text) for text in texts]
        rows = np.empty((len(texts), DIMENSIONS), np.float32)

        def run_batch(batch: list[int]) -> None:
            rows[batch] = session.run(None, pad_batch([encodings[index] for index in batch]))[0]

        batches = list(batch_by_length(encodings))
        if len(batches) == 1:
            run_batch(batches[0])
        else:
            # To process one batch per thread takes an eighth less time than to use all threads for
            # each batch.
            list(self._pool.map(run_batch, batches))
            _free_intermediate_values(session)
        return rows

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
        self._session.get()


def _open_session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        find_model_file(EMBEDDING_GRAPH), options, providers=["CPUExecutionProvider"]
    )


def _free_intermediate_values(session: onnxruntime.InferenceSession) -> None:
    """Return the memory of earlier batches, about 70 MB, to the system.

    The session keeps it for later batches. Without such an arena, batches take half as long again.
    """
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    one_token = np.ones((1, 1), np.int32)
    session.run(None, {"ids": one_token, "mask": one_token}, options)


def batch_by_length(encodings: Sequence[Encoding]) -> Iterator[list[int]]:
    """Yield the indices of *encodings* in batches of similar length, to avoid padding."""
    batch: list[int] = []
    for index in sorted(range(len(encodings)), key=lambda i: len(encodings[i].ids)):
        # Encodings are sorted, so the added one is the longest and determines the padded width.
        if batch and (len(batch) + 1) * len(encodings[index].ids) > MAX_BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def pad_batch(encodings: Sequence[Encoding]) -> dict[str, NDArray[np.int32]]:
    """Return the graph's inputs `ids` and `mask`, both of shape (texts, tokens)."""
    shape = len(encodings), max(len(encoding.ids) for encoding in encodings)
    ids, mask = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding.ids)] = encoding.ids
        mask[row, : len(encoding.ids)] = 1
    return {"ids": ids, "mask": mask}
