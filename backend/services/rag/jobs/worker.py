"""Ingestion worker: processes documents when a Celery message arrives, or by polling."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING

from backend.chassis.wake_pipe import WakePipe
from backend.services.rag.domain.ingestion.runner import IngestionRunner
from backend.services.rag.jobs.broker import TASK_NAME, send_task_messages
from backend.services.rag.jobs.indexing import IndexingThreads
from backend.services.rag.jobs.ingestion import IngestionThread

if TYPE_CHECKING:
    from celery import Celery

_log = logging.getLogger(__name__)
# After this time, a task starts no further document. It sends another message and ends.
_TASK_SECONDS = 30.0
# If documents wait for this time and none is processed, the message is considered lost.
_LOST_MESSAGE_SECONDS = 6.0
_POLL_SECONDS = 1.0
# A worker on demand ends after this time without work, or after its first check without any.
_IDLE_SECONDS = 300.0
_IDLE_CHECK_SECONDS = 10.0


def run_polling_worker(
    ingestion: IngestionRunner,
    indexing: IndexingThreads,
    threads: int,
    pipe: WakePipe | None = None,
) -> None:
    """Process documents until a signal ends the process. Polls the tables, without Celery.

    Args:
        pipe: wakes the worker at once. The worker then also ends if it has no work for minutes.
    """
    _log.info("ready, processing up to %d documents at a time", threads)
    workers = [IngestionThread(ingestion, idle_seconds=_POLL_SECONDS) for _ in range(threads)]
    ended = threading.Event()

    def end() -> None:
        ended.set()
        if pipe is not None:
            pipe.write()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end())
    for worker in workers:
        worker.start()
    indexing.start()
    if pipe is None:
        ended.wait()
    else:
        _wait_until_idle(pipe, ended, ingestion, indexing, workers)
    _log.info("shutting down")
    for worker in workers:
        worker.stop()
    indexing.stop()


def _wait_until_idle(
    pipe: WakePipe,
    ended: threading.Event,
    ingestion: IngestionRunner,
    indexing: IndexingThreads,
    workers: Sequence[IngestionThread],
) -> None:
    """Wake *workers* by *pipe* until there was no work for _IDLE_SECONDS or *ended* is set."""
    last_work_at = float("-inf")
    while not ended.is_set():
        if pipe.wait(_IDLE_CHECK_SECONDS):
            last_work_at = monotonic()
            for worker in workers:
                worker.wake()
        # A wake-up after this check stays in the pipe, so that the next process is started for it.
        elif ingestion.has_unfinished_work() or indexing.has_unfinished_work():
            last_work_at = monotonic()
        elif monotonic() - last_work_at >= _IDLE_SECONDS:
            return


def run_celery_worker(
    app: "Celery",
    ingestion: IngestionRunner,
    indexing: IndexingThreads,
    threads: int,
) -> None:
    """Process the messages of *app* until a signal ends the process."""
    from celery.apps import worker as apps_worker
    from celery.signals import worker_ready, worker_shutting_down

    def process_documents() -> None:
        deadline = monotonic() + _TASK_SECONDS
        while ingestion.process_next_document():
            if monotonic() > deadline:
                send_task_messages(app)
                return

    app.task(process_documents, name=TASK_NAME)
    supervisor = IngestionThread(
        ingestion, _LOST_MESSAGE_SECONDS, lambda: send_task_messages(app, threads)
    )

    def on_ready(**_: object) -> None:
        _log.info("ready, processing up to %d documents at a time", threads)
        send_task_messages(app, threads)
        supervisor.start()
        indexing.start()

    def on_shutdown(**_: object) -> None:
        _log.info("shutting down")
        ingestion.stop()

    # Celery prints a plain text line at shutdown, which would not be a JSON log line.
    apps_worker.safe_say = lambda *_: None
    worker_ready.connect(on_ready)
    worker_shutting_down.connect(on_shutdown)
    worker = app.Worker(
        pool="threads",
        concurrency=threads,
        hostname=f"rag-worker-{os.getpid()}@{socket.gethostname()}",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
        loglevel=logging.INFO,
    )
    worker.start()
    supervisor.stop()
    indexing.stop()
