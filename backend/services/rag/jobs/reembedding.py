"""The thread that embeds what a model lacks, beside those that read documents."""

import atexit
import logging
import threading

from backend.services.rag.domain.reembedding import Reembedding

_log = logging.getLogger(__name__)
_IDLE_SECONDS = 2.0
_STOP_SECONDS = 10.0


class ReembeddingThread:
    """Goes on where others left off, until it is stopped. One works, the others look on."""

    def __init__(self, reembedding: Reembedding) -> None:
        self._reembedding = reembedding
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reembedding", daemon=True)

    def start(self) -> None:
        self._thread.start()
        # Before the interpreter takes the thread's modules away from under it.
        atexit.register(self.stop)

    def stop(self) -> None:
        """Stop within seconds; what is done stays done."""
        atexit.unregister(self.stop)
        self._stopping.set()
        self._reembedding.stop()
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                busy = self._reembedding.step()
            except Exception:  # noqa: BLE001 - the thread outlives what fails in it
                _log.exception("what a model lacks could not be embedded")
                busy = False
            if not busy:
                self._stopping.wait(_IDLE_SECONDS)
