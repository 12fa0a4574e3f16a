"""Background threads that embed the chunks and sentences without vectors, and count words again."""

from backend.chassis.background import PeriodicTask
from backend.services.rag.domain.embeddings.reembedding import Reembedder
from backend.services.rag.domain.embeddings.sentence_embedding import SentenceEmbedder
from backend.services.rag.domain.search.word_counts import WordCounts

_IDLE_SECONDS = 2.0
_STOP_SECONDS = 10.0
# Outdated word counts appear only when the software is updated or a backup is restored.
_RECOUNT_INTERVAL_SECONDS = 600.0


class IndexingThreads:
    """One thread embeds chunks and sentences in turn, one counts words of previous versions again.

    Only one process embeds chunks, and only one embeds sentences, at a time. The threads begin
    after _IDLE_SECONDS: a worker is usually started for a document, which is processed first.
    """

    def __init__(
        self,
        reembedder: Reembedder,
        sentence_embedder: SentenceEmbedder,
        word_counts: WordCounts,
    ) -> None:
        self._reembedder = reembedder
        self._sentence_embedder = sentence_embedder
        self._word_counts = word_counts
        self._embedding = PeriodicTask(
            "embedding",
            _IDLE_SECONDS,
            self._embed_time_slices,
            runs_at_start=False,
            on_stop=self._stop_embedding,
            stops_at_exit=True,
        )
        self._recount = PeriodicTask(
            "word-counts",
            _RECOUNT_INTERVAL_SECONDS,
            word_counts.recount_time_slice,
            stops_at_exit=True,
        )

    def start(self) -> None:
        self._embedding.start()

    def has_unfinished_work(self) -> bool:
        """Return True if vectors are missing or wait for removal, or word counts are outdated."""
        return (
            self._reembedder.has_unfinished_work()
            or self._sentence_embedder.count_waiting_documents() > 0
            or self._word_counts.has_outdated_documents()
        )

    def stop(self) -> None:
        """Stop within seconds. Embedded chunks and sentences are kept."""
        self._recount.request_stop()
        self._embedding.stop(_STOP_SECONDS)
        self._recount.stop(_STOP_SECONDS)

    def _embed_time_slices(self) -> bool:
        self._recount.start()
        has_worked = self._reembedder.run_time_slice()
        return self._sentence_embedder.run_time_slice() or has_worked

    def _stop_embedding(self) -> None:
        self._reembedder.stop()
        self._sentence_embedder.stop()
