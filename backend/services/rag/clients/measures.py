"""What reading and searching cost, for Prometheus.

Every label is a word of this service's own: no name of a file, collection or tenant.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric

_SECONDS = tuple(0.005 * 2**power for power in range(16))
Stage = Literal["extracting", "chunking", "indexing"]
Purpose = Literal["documents", "questions"]
Result = Literal["ready", "failed", "put_off"]
STATUSES = ("queued", "processing", "ready", "failed")


class Measures:
    """The numbers of one process; nobody sees them without a *registry*."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        def timed(name: str, told: str, *labels: str) -> Histogram:
            return Histogram(name, told, labels, buckets=_SECONDS, registry=registry)

        def counted(name: str, told: str, *labels: str) -> Counter:
            return Counter(name, told, labels, registry=registry)

        self._stages = timed(
            "rag_ingestion_stage_duration_seconds",
            "One stage of reading a document; embedding and indexing, of a batch of passages.",
            "stage",
        )
        self._documents = counted(
            "rag_documents_read", "Documents read, by how that ended.", "result", "error_type"
        )
        self._searches = timed(
            "rag_search_duration_seconds", "One search, as it was asked for.", "mode", "error_type"
        )
        self._empty = counted("rag_searches_empty", "Searches that found nothing.", "mode")
        self._words_only = counted(
            "rag_searches_words_only", "Hybrid searches without vectors: those were away."
        )
        self._embeddings = timed(
            "rag_embedding_duration_seconds", "Texts embedded together.", "purpose"
        )
        self._texts = counted("rag_embedded_texts", "Texts that were embedded.", "purpose")

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Time one stage that comes to its end."""
        began = perf_counter()
        yield
        self._stages.labels(stage).observe(perf_counter() - began)

    def read(self, result: Result, error: str = "") -> None:
        """A document has been read, or will not be for *error*."""
        self._documents.labels(result, error).inc()

    def searched(self, mode: str, took: float, found: int) -> None:
        """A search took that many seconds and found that many passages."""
        self._searches.labels(mode, "").observe(took)
        if not found:
            self._empty.labels(mode).inc()

    def search_failed(self, mode: str, took: float, error: str) -> None:
        self._searches.labels(mode, error).observe(took)

    def searched_by_words_only(self) -> None:
        self._words_only.inc()

    @contextmanager
    def embedding(self, purpose: Purpose, texts: int) -> Iterator[None]:
        """Time the embedding of that many *texts*."""
        began = perf_counter()
        yield
        took = perf_counter() - began
        self._embeddings.labels(purpose).observe(took)
        if purpose == "documents":
            self._stages.labels("embedding").observe(took)
        self._texts.labels(purpose).inc(texts)


@dataclass(frozen=True, slots=True)
class QueueState:
    """How the library stands: documents by status, and who has waited longest."""

    documents: Mapping[str, int]
    waiting_since: datetime | None
    last_heartbeat: datetime | None
    now: datetime


def queue_numbers(state: QueueState) -> Iterator[Metric]:
    """*state* for Prometheus."""
    documents = GaugeMetricFamily("rag_documents", "Documents by status.", labels=["status"])
    for status in STATUSES:
        documents.add_metric([status], state.documents.get(status, 0))
    yield documents
    since = state.waiting_since
    yield GaugeMetricFamily(
        "rag_oldest_waiting_document_age_seconds",
        "How long the upload that has waited longest waits for its first reading; 0 if none does.",
        max(0.0, (state.now - since).total_seconds()) if since else 0.0,
    )
    yield GaugeMetricFamily(
        "rag_reader_heartbeat_timestamp_seconds",
        "When any reader gave its last sign of life, in seconds since the epoch; 0 if none did.",
        state.last_heartbeat.timestamp() if state.last_heartbeat else 0.0,
    )
