"""Background thread that embeds the chunks and sentences that lack vectors."""

from backend.chassis.background import PeriodicTask
from backend.services.rag.domain.embeddings.reembedding import Reembedder
from backend.services.rag.domain.embeddings.sentence_embedding import SentenceEmbedder

_IDLE_SECONDS = 2.0
_STOP_SECONDS = 10.0


class EmbeddingThread:
    """Embeds chunks and sentences in turn until it is stopped.

    Only one process embeds chunks, and only one embeds sentences, at a time.
    """

    def __init__(self, reembedder: Reembedder, sentence_embedder: SentenceEmbedder) -> None:
        self._reembedder = reembedder
        self._sentence_embedder = sentence_embedder
        self._task = PeriodicTask(
            "embedding",
            _IDLE_SECONDS,
            self._run_time_slices,
            on_stop=self._stop_workers,
            stops_at_exit=True,
        )

    def start(self) -> None:
        self._task.start()

    def wake(self) -> None:
        """Look for chunks and sentences immediately."""
        self._task.wake()

    def has_unfinished_work(self) -> bool:
        """Return True if chunks or sentences lack vectors, or old vectors wait for removal."""
        return (
            self._reembedder.has_unfinished_work()
            or self._sentence_embedder.count_waiting_documents() > 0
        )

    def stop(self) -> None:
        """Stop within seconds. Embedded chunks and sentences are kept."""
        self._task.stop(_STOP_SECONDS)

    def _run_time_slices(self) -> bool:
        has_worked = self._reembedder.run_time_slice()
        return self._sentence_embedder.run_time_slice() or has_worked

    def _stop_workers(self) -> None:
        self._reembedder.stop()
        self._sentence_embedder.stop()
