"""A thread that works on the queue of documents."""

import atexit
import logging
import threading
from time import monotonic

from backend.services.rag.domain.ingestion import Ingestion

_log = logging.getLogger(__name__)
_IDLE_SECONDS = 2.0
_RECOVER_SECONDS = 5.0
_STOP_SECONDS = 10.0


class IngestionThread:
    """Reads until it is stopped; `wake` spares new work the wait."""

    def __init__(self, ingestion: Ingestion) -> None:
        self._ingestion = ingestion
        self._awake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ingestion", daemon=True)
        self._recover_at = 0.0

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
        while not self._stopping.is_set():
            self._awake.clear()
            try:
                busy = self._turn()
            except Exception:  # noqa: BLE001 - the thread outlives what fails in it
                # The database or the disk is away: keep the thread, and try again later.
                _log.exception("the ingestion queue could not be worked on")
                busy = False
            if not busy:
                self._awake.wait(_IDLE_SECONDS)

    def _turn(self) -> bool:
        if monotonic() >= self._recover_at:
            if not self._recover_at:
                self._ingestion.clear_strays()
            self._ingestion.recover()
            self._recover_at = monotonic() + _RECOVER_SECONDS
        return self._ingestion.step()
