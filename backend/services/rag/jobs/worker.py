"""The Celery worker: hears that documents wait, and reads them."""

import logging
import os
import signal
import socket
import threading
from time import monotonic
from typing import TYPE_CHECKING

from backend.services.rag.domain.ingestion import Ingestion
from backend.services.rag.domain.reembedding import Reembedding
from backend.services.rag.jobs.broker import TASK, send
from backend.services.rag.jobs.ingestion import IngestionThread
from backend.services.rag.jobs.reembedding import ReembeddingThread

if TYPE_CHECKING:
    from celery import Celery

_log = logging.getLogger(__name__)
# One message's work: documents are read for so long, then the next message goes on.
_TASK_SECONDS = 30.0
# So long nobody reads though documents wait, before the worker takes a message for lost.
_PATIENCE_SECONDS = 6.0
_POLL_SECONDS = 1.0


def poll(ingestion: Ingestion, reembedding: Reembedding, threads: int) -> None:
    """Look at the tables, where no message can come, until a signal ends it."""
    _log.info("ready, reading %d documents at a time", threads)
    working: list[IngestionThread | ReembeddingThread] = [
        *(IngestionThread(ingestion, idle_seconds=_POLL_SECONDS) for _ in range(threads)),
        ReembeddingThread(reembedding),
    ]
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    for thread in working:
        thread.start()
    ended.wait()
    _log.info("going down")
    for thread in working:
        thread.stop()


def work(app: "Celery", ingestion: Ingestion, reembedding: Reembedding, threads: int) -> None:
    """Serve *app* until a signal ends it."""
    from celery.apps import worker as apps_worker
    from celery.signals import worker_ready, worker_shutting_down

    def read() -> None:
        end = monotonic() + _TASK_SECONDS
        while ingestion.step():
            if monotonic() > end:
                send(app)
                return

    app.task(read, name=TASK)
    steward = IngestionThread(ingestion, _PATIENCE_SECONDS, lambda: send(app, threads))
    embedding = ReembeddingThread(reembedding)

    def begin(**_: object) -> None:
        _log.info("ready, reading %d documents at a time", threads)
        send(app, threads)
        steward.start()
        embedding.start()

    def end(**_: object) -> None:
        _log.info("going down")
        ingestion.stop()

    # It says on the screen that it goes down, which would be a bare line in the log.
    apps_worker.safe_say = lambda *_: None
    worker_ready.connect(begin)
    worker_shutting_down.connect(end)
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
    steward.stop()
    embedding.stop()
