"""Heartbeats of a running ingestion job, and detection of a lost claim."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from backend.chassis.background import PeriodicTask
from backend.services.rag.domain.ingestion.queue import IngestionQueue

_log = logging.getLogger(__name__)
HEARTBEAT_INTERVAL_SECONDS = 3.0


@contextmanager
def send_heartbeats(
    queue: IngestionQueue, claim: str, max_seconds: float, *, on_lost: Callable[[], None]
) -> Iterator[None]:
    """Renew *claim* until the block ends, for at most *max_seconds*.

    A job that takes longer is considered stuck; its claim expires, so that another process can
    take the document. *on_lost* is called from another thread when the claim is no longer valid.
    """
    deadline = monotonic() + max_seconds

    def send_heartbeat() -> None:
        if monotonic() > deadline:
            _log.error("processing takes longer than %d s; claim abandoned", max_seconds)
            task.request_stop()
            on_lost()
        elif not queue.record_heartbeat([claim]):
            task.request_stop()
            on_lost()

    task = PeriodicTask(
        "heartbeat", HEARTBEAT_INTERVAL_SECONDS, send_heartbeat, runs_at_start=False
    )
    task.start()
    try:
        yield
    finally:
        task.stop()
