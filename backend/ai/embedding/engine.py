"""Run the graph: batches of like length, one session for the process, few threads."""

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Encoding

from backend.ai.embedding.cache import built_model
from backend.ai.embedding.tokens import Tokens

DIMENSIONS = 384
# Padded tokens in one run. Larger batches were slower: their intermediate values
# no longer fit the processor's cache.
BATCH_TOKENS = 1024

Vectors = NDArray[np.float32]


class Embedder:
    """Makes unit vectors of texts. Cheap to construct; the model loads at the first text.

    Safe to share between threads, but made after a fork, never before one.
    """

    model = "all-MiniLM-L6-v2"
    dimensions = DIMENSIONS

    def __init__(self, data_dir: Path, threads: int | None = None) -> None:
        self.tokens = Tokens()
        self._data_dir = data_dir
        # Half of the machine: ingesting a book must not starve the services beside it.
        self._threads = threads or max(1, min(4, (os.cpu_count() or 1) // 2))
        self._runs = ThreadPoolExecutor(self._threads, thread_name_prefix="embedding")
        self._loading = threading.Lock()
        self._session: onnxruntime.InferenceSession | None = None

    def encode(self, texts: Sequence[str]) -> Vectors:
        """One row for each text, of length one; what lies beyond 256 tokens is not read."""
        session = self._loaded()
        encodings = [self.tokens.encode(text) for text in texts]
        rows = np.empty((len(texts), DIMENSIONS), np.float32)

        def run(batch: list[int]) -> None:
            rows[batch] = session.run(None, _padded([encodings[index] for index in batch]))[0]

        batches = list(_batches(encodings))
        if len(batches) == 1:
            run(batches[0])
        else:
            # A batch to a thread costs an eighth less than all threads to each batch.
            list(self._runs.map(run, batches))
        return rows

    def check(self) -> None:
        """Load the model if it is not, or raise: who is ready answers the next text at once."""
        self._loaded()

    def _loaded(self) -> onnxruntime.InferenceSession:
        with self._loading:
            if self._session is None:
                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = 1
                options.inter_op_num_threads = 1
                self._session = onnxruntime.InferenceSession(
                    built_model(self._data_dir), options, providers=["CPUExecutionProvider"]
                )
            return self._session


def _batches(encodings: Sequence[Encoding]) -> Iterator[list[int]]:
    """Indices in groups of similar length, so that little of a batch is padding."""
    batch: list[int] = []
    for index in sorted(range(len(encodings)), key=lambda i: len(encodings[i].ids)):
        # Sorted, so the one being added is the longest and sets the padded width.
        if batch and (len(batch) + 1) * len(encodings[index].ids) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _padded(encodings: Sequence[Encoding]) -> dict[str, NDArray[np.int32]]:
    shape = len(encodings), max(len(encoding.ids) for encoding in encodings)
    ids, mask = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding.ids)] = encoding.ids
        mask[row, : len(encoding.ids)] = 1
    return {"ids": ids, "mask": mask}
