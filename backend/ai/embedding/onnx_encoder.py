"""Run an encoder graph on onnxruntime, with one session per process that is loaded when needed."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from backend import trim_heap
from backend.ai.embedder import Vectors
from backend.ai.embedding.lazy_model import LazyModel
from backend.ai.model_files import find_model_file

DIMENSIONS = 384
# Maximum number of tokens of one batch, including padding. Larger batches are slower and need more
# memory: their intermediate values exceed the processor's cache.
MAX_BATCH_TOKENS = 384

Inputs = dict[str, NDArray[np.int32] | NDArray[np.float32]]
BuildInputs = Callable[[NDArray[np.int32], NDArray[np.int32]], Inputs]


class OnnxEncoder:
    """Converts token ids to unit vectors of length 384.

    Safe to share between threads. Create it after a fork, never before: its threads do not
    survive one.
    """

    def __init__(
        self,
        graph: str,
        build_inputs: BuildInputs,
        threads: int | None = None,
        threads_per_batch: int = 1,
    ) -> None:
        """*graph* is the name of a model file.

        Args:
            build_inputs: returns the graph's inputs for token ids and their mask, both of shape
                (texts, tokens).
            threads: number of batches that run at the same time; None uses half of the
                processors, because ingestion must leave time for other services.
            threads_per_batch: number of threads that compute one batch. Two shorten the latency of
                a question, but need more processor time for the same texts.
        """
        self._graph = graph
        self._build_inputs = build_inputs
        self._threads_per_batch = threads_per_batch
        self._threads = threads or max(1, min(4, (os.cpu_count() or 1) // 2))
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="embedding")
        self._session = LazyModel(self._open_session)

    def encode(self, token_ids: Sequence[Sequence[int]]) -> Vectors:
        """Return a float32 matrix with one unit row per sequence of token ids."""
        session = self._session.get()
        rows = np.empty((len(token_ids), DIMENSIONS), np.float32)

        def run_batch(batch: list[int]) -> None:
            inputs = self._build_inputs(*pad_batch([token_ids[index] for index in batch]))
            rows[batch] = session.run(None, inputs)[0]

        batches = list(batch_by_length(token_ids))
        if len(batches) == 1:
            run_batch(batches[0])
        else:
            # To process one batch per thread takes an eighth less time than to use all threads for
            # each batch.
            list(self._pool.map(run_batch, batches))
            self._free_intermediate_values(session)
        return rows

    def load(self) -> None:
        """Load the graph, so that the next text is embedded without delay.

        Raises:
            ModelFilesError: the model is not installed.
        """
        self._session.get()

    def _open_session(self) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads_per_batch
        # Threads that spin while they wait for the other ones double the processor time.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.inter_op_num_threads = 1
        # Plans of memory for inputs of one shape take a quarter more memory, and save no time:
        # nearly every batch has another shape.
        options.enable_mem_pattern = False
        session = onnxruntime.InferenceSession(
            find_model_file(self._graph), options, providers=["CPUExecutionProvider"]
        )
        trim_heap()  # loading needs twice the memory of the graph
        return session

    def _free_intermediate_values(self, session: onnxruntime.InferenceSession) -> None:
        """Return the memory of earlier batches, about 70 MB, to the system.

        The session keeps it for later batches. Without such an arena, batches take half as long
        again.
        """
        options = onnxruntime.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        one_token = np.ones((1, 1), np.int32)
        session.run(None, self._build_inputs(one_token, one_token), options)


def batch_by_length(token_ids: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Yield the indices of *token_ids* in batches of similar length, to avoid padding."""
    batch: list[int] = []
    for index in sorted(range(len(token_ids)), key=lambda i: len(token_ids[i])):
        # They are sorted, so the added one is the longest and determines the padded width.
        if batch and (len(batch) + 1) * len(token_ids[index]) > MAX_BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def pad_batch(
    token_ids: Sequence[Sequence[int]],
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the ids and their mask, both of shape (texts, tokens)."""
    shape = len(token_ids), max(map(len, token_ids))
    ids, mask = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    for row, values in enumerate(token_ids):
        ids[row, : len(values)] = values
        mask[row, : len(values)] = 1
    return ids, mask
