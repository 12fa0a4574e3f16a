"""The thread that reads queued documents, in exactly one process of this service."""

import atexit
import fcntl
import logging
import threading
from pathlib import Path
from typing import IO

from backend.services.rag.domain.ingestion import Ingestion

_log = logging.getLogger(__name__)
_IDLE_SECONDS = 2.0
_LOCK_SECONDS = 1.0
_STOP_SECONDS = 10.0


class IngestionThread:
    """Reads until it is stopped; `wake` spares new work the wait."""

    def __init__(self, ingestion: Ingestion, lock_file: Path) -> None:
        self._ingestion = ingestion
        self._lock_file = lock_file
        self._awake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ingestion", daemon=True)

    def start(self) -> None:
        self._thread.start()
        # Before the interpreter takes the thread's modules away from under it.
        atexit.register(self.stop)

    def wake(self) -> None:
        self._awake.set()

    def stop(self) -> None:
        """Stop within seconds, whatever is being read."""
        atexit.unregister(self.stop)
        self._stopping.set()
        self._ingestion.stop()
        self._awake.set()
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        self._lock_file.parent.mkdir(parents=True, exist_ok=True)
        with self._lock_file.open("w") as lock:
            # Two processes meet here while one replaces the other: the new one waits its turn,
            # so that it does not take for interrupted what the old one is still reading.
            while not _locked(lock):
                if self._stopping.wait(_LOCK_SECONDS):
                    return
            self._work()

    def _work(self) -> None:
        recovered = False
        while not self._stopping.is_set():
            self._awake.clear()
            try:
                if not recovered:
                    self._ingestion.recover()
                    recovered = True
                busy = self._ingestion.step()
            except Exception:  # noqa: BLE001 - the thread outlives what fails in it
                # The database or the disk is away: keep the thread, and try again later.
                _log.exception("the ingestion queue could not be worked on")
                busy = False
            if not busy:
                self._awake.wait(_IDLE_SECONDS)


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
