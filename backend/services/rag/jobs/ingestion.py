"""A thread that works on the queue of documents, or steps in where nobody else does."""

import atexit
import logging
import threading
from collections.abc import Callable
from datetime import datetime
from time import monotonic

from backend.services.rag.domain.ingestion import Ingestion

_log = logging.getLogger(__name__)
_IDLE_SECONDS = 2.0
_RECOVER_SECONDS = 5.0
_STOP_SECONDS = 10.0


class IngestionThread:
    """Takes up what silent readers left, and reads, until it is stopped.

    With *patience*, the seconds for which documents wait and no reader gives a sign of life,
    it leaves the reading to others: it calls them first, and reads where nobody is called.
    """

    def __init__(
        self,
        ingestion: Ingestion,
        patience: float = 0.0,
        call: Callable[[], bool] = lambda: False,
        idle_seconds: float = _IDLE_SECONDS,
    ) -> None:
        self._ingestion = ingestion
        self._patience = patience
        self._call = call
        self._idle_seconds = idle_seconds
        self._awake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ingestion", daemon=True)
        self._recover_at = 0.0
        self._last_sign: datetime | None = None
        self._neglected_since: float | None = None

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
                self._awake.wait(self._idle_seconds)

    def _turn(self) -> bool:
        if monotonic() >= self._recover_at:
            if not self._recover_at:
                self._ingestion.clear_strays()
            self._ingestion.recover()
            self._recover_at = monotonic() + _RECOVER_SECONDS
        if not self._patience:
            return self._ingestion.step()
        if self._is_neglected():
            self._neglected_since = None
            if not self._call():
                self._read_all()
        return False

    def _is_neglected(self) -> bool:
        """Whether documents have waited all the time, and nobody read."""
        sign = self._ingestion.last_heartbeat()
        if not self._ingestion.is_due():
            self._neglected_since = None
        elif self._neglected_since is None or sign != self._last_sign:
            self._neglected_since, self._last_sign = monotonic(), sign
        else:
            return monotonic() - self._neglected_since >= self._patience
        return False

    def _read_all(self) -> None:
        _log.warning("no reader has taken what waits; reading it here")
        while self._ingestion.step() and not self._stopping.is_set():
            pass
