"""Prometheus metrics of ingestion and search.

Label values come from fixed sets. They never contain names of files, collections or tenants.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric

# 5 ms to 164 s.
_BUCKETS_SECONDS = tuple(0.005 * 2**power for power in range(16))
Stage = Literal["extracting", "chunking", "indexing"]
EmbeddingPurpose = Literal["documents", "questions"]
IngestionResult = Literal["ready", "failed", "put_off"]
STATUSES = ("queued", "processing", "ready", "failed")


class RagMetrics:
    """Metrics of one process. Without a *registry* they are recorded but not exported."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        def histogram(name: str, documentation: str, *labels: str) -> Histogram:
            return Histogram(
                name, documentation, labels, buckets=_BUCKETS_SECONDS, registry=registry
            )

        def counter(name: str, documentation: str, *labels: str) -> Counter:
            return Counter(name, documentation, labels, registry=registry)

        self._stages = histogram(
            "rag_ingestion_stage_duration_seconds",
            "Duration of one ingestion stage; embedding and indexing are per batch of chunks.",
            "stage",
        )
        self._documents = counter(
            "rag_documents_read", "Documents processed, by result.", "result", "error_type"
        )
        self._searches = histogram(
            "rag_search_duration_seconds",
            "Duration of a search by requested mode.",
            "mode",
            "error_type",
        )
        self._empty = counter("rag_searches_empty", "Searches without hits.", "mode")
        self._keyword_only = counter(
            "rag_searches_words_only",
            "Hybrid searches by keywords only because vectors were unavailable.",
        )
        self._embeddings = histogram(
            "rag_embedding_duration_seconds", "Duration of embedding a batch of texts.", "purpose"
        )
        self._texts = counter("rag_embedded_texts", "Embedded texts.", "purpose")

    @contextmanager
    def time_stage(self, stage: Stage) -> Iterator[None]:
        """Record the duration of the block, unless it raises an exception."""
        started_at = perf_counter()
        yield
        self._stages.labels(stage).observe(perf_counter() - started_at)

    def count_document(self, result: IngestionResult, error: str = "") -> None:
        """Count a processed document. *error* is the error code of a failed one."""
        self._documents.labels(result, error).inc()

    def record_search(self, mode: str, seconds: float, hit_count: int) -> None:
        self._searches.labels(mode, "").observe(seconds)
        if not hit_count:
            self._empty.labels(mode).inc()

    def record_failed_search(self, mode: str, seconds: float, error: str) -> None:
        self._searches.labels(mode, error).observe(seconds)

    def count_keyword_only_search(self) -> None:
        self._keyword_only.inc()

    @contextmanager
    def time_embedding(self, purpose: EmbeddingPurpose, text_count: int) -> Iterator[None]:
        """Record the duration of the block, which embeds *text_count* texts."""
        started_at = perf_counter()
        yield
        seconds = perf_counter() - started_at
        self._embeddings.labels(purpose).observe(seconds)
        if purpose == "documents":
            self._stages.labels("embedding").observe(seconds)
        self._texts.labels(purpose).inc(text_count)


@dataclass(frozen=True, slots=True)
class QueueState:
    """State of the ingestion queue at the moment *now*."""

    documents_by_status: Mapping[str, int]
    oldest_waiting_at: datetime | None
    last_heartbeat: datetime | None
    now: datetime


def queue_metrics(state: QueueState) -> Iterator[Metric]:
    """Yield the metrics of the ingestion queue."""
    documents = GaugeMetricFamily("rag_documents", "Documents by status.", labels=["status"])
    for status in STATUSES:
        documents.add_metric([status], state.documents_by_status.get(status, 0))
    yield documents
    oldest = state.oldest_waiting_at
    yield GaugeMetricFamily(
        "rag_oldest_waiting_document_age_seconds",
        "Age of the oldest upload that waits for its first ingestion; 0 if none waits.",
        max(0.0, (state.now - oldest).total_seconds()) if oldest else 0.0,
    )
    yield GaugeMetricFamily(
        "rag_reader_heartbeat_timestamp_seconds",
        "Unix time of the last heartbeat of an ingestion worker; 0 if there was none.",
        state.last_heartbeat.timestamp() if state.last_heartbeat else 0.0,
    )
