"""The built-in embedder: all-MiniLM-L6-v2 on onnxruntime, with one session per process."""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Encoding

from backend.ai.embedder import Vectors
from backend.ai.embedding.model_build import ensure_model_built
from backend.ai.embedding.tokenizer import EmbeddingTokenizer

DIMENSIONS = 384
# Maximum number of tokens of one batch, including padding. Larger batches were slower, because
# their intermediate values exceed the processor's cache.
MAX_BATCH_TOKENS = 1024


class BuiltInEmbedder:
    """Converts texts to unit vectors of length 384. The model is loaded with the first text.

    Safe to share between threads. Create it after a fork, never before: its threads do not
    survive one.
    """

    dimensions = DIMENSIONS

    def __init__(self, data_dir: Path, threads: int | None = None) -> None:
        self.tokenizer = EmbeddingTokenizer()
        self._data_dir = data_dir
        # Use half of the processors: the ingestion of a large document must leave time for other
        # services.
        self._threads = threads or max(1, min(4, (os.cpu_count() or 1) // 2))
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="embedding")
        self._load_lock = threading.Lock()
        self._session: onnxruntime.InferenceSession | None = None
        self._used_at = 0.0

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return a float32 matrix with one unit row per text. Texts are truncated to 256 tokens."""
        session = self._get_session()
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
        return rows

    def load(self) -> None:
        """Load the model, so that the next text is embedded without delay.

        Raises:
            ModelFilesError: the model has to be built and its files are not installed.
        """
        self._get_session()

    def unload(self, idle_seconds: float) -> None:
        """Free the model, about 35 MB, if no text was embedded for *idle_seconds*.

        The next text loads it again, which takes 0.1 s.
        """
        with self._load_lock:
            if time.monotonic() - self._used_at >= idle_seconds:
                self._session = None

    def _get_session(self) -> onnxruntime.InferenceSession:
        with self._load_lock:
            self._used_at = time.monotonic()
            if self._session is None:
                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = 1
                options.inter_op_num_threads = 1
                self._session = onnxruntime.InferenceSession(
                    ensure_model_built(self._data_dir), options, providers=["CPUExecutionProvider"]
                )
            return self._session


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
