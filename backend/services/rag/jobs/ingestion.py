"""Background thread that ingests queued documents, or supervises workers that do."""

import logging
from collections.abc import Callable
from datetime import datetime
from time import monotonic

from backend.chassis.background import PeriodicTask
from backend.services.rag.domain.ingestion.runner import IngestionRunner

_log = logging.getLogger(__name__)
_IDLE_SECONDS = 2.0
_RECOVERY_INTERVAL_SECONDS = 5.0
_STOP_SECONDS = 10.0


class IngestionThread:
    """Recovers expired claims and processes documents until it is stopped.

    Args:
        worker_timeout_seconds: if not 0, worker processes are expected to process the documents.
            If documents wait for this time and no worker sends a heartbeat, the thread calls
            *wake_workers*, and processes the documents itself if that returns False.
        wake_workers: sends messages to the workers. Returns False if this is not possible.
        idle_seconds: pause when there is nothing to do.
    """

    def __init__(
        self,
        ingestion: IngestionRunner,
        worker_timeout_seconds: float = 0.0,
        wake_workers: Callable[[], bool] = lambda: False,
        idle_seconds: float = _IDLE_SECONDS,
    ) -> None:
        self._ingestion = ingestion
        self._worker_timeout_seconds = worker_timeout_seconds
        self._wake_workers = wake_workers
        self._task = PeriodicTask(
            "ingestion", idle_seconds, self._run_once, on_stop=ingestion.stop, stops_at_exit=True
        )
        self._recover_at = 0.0
        self._last_heartbeat: datetime | None = None
        self._stalled_since: float | None = None

    def start(self) -> None:
        self._task.start()

    def wake(self) -> None:
        """Look for documents immediately."""
        self._task.wake()

    def stop(self) -> None:
        """Stop within seconds, even if a document is being processed."""
        self._task.stop(_STOP_SECONDS)

    def _run_once(self) -> bool:
        if monotonic() >= self._recover_at:
            if not self._recover_at:
                self._ingestion.delete_orphaned_blobs()
            self._ingestion.recover_expired_claims()
            self._recover_at = monotonic() + _RECOVERY_INTERVAL_SECONDS
        if not self._worker_timeout_seconds:
            return self._ingestion.process_next_document()
        if self._are_workers_silent():
            self._stalled_since = None
            if not self._wake_workers():
                self._process_all_documents()
        return False

    def _are_workers_silent(self) -> bool:
        """Check whether documents waited for the timeout while no worker sent a heartbeat."""
        heartbeat = self._ingestion.get_last_heartbeat()
        if not self._ingestion.has_due_document():
            self._stalled_since = None
        elif self._stalled_since is None or heartbeat != self._last_heartbeat:
            self._stalled_since, self._last_heartbeat = monotonic(), heartbeat
        else:
            return monotonic() - self._stalled_since >= self._worker_timeout_seconds
        return False

    def _process_all_documents(self) -> None:
        _log.warning("no worker processes the waiting documents; processing them here")
        while self._ingestion.process_next_document() and not self._task.is_stopping:
            pass
