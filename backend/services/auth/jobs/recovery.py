"""Send the mails for who forgot a password: at once, and again where that failed."""

import logging
import threading

from flask import Flask, Response
from sqlalchemy.exc import SQLAlchemyError

from backend.services.auth.domain.recovery import Recovery

_log = logging.getLogger(__name__)
_PAUSE_SECONDS = 5.0


def keep_sending(app: Flask, recovery: Recovery) -> None:
    """Have a thread for as long as mails wait, from the first request of *app* on."""
    sender = _Sender(recovery)
    if recovery.is_any_waiting():
        recovery.asked.set()

    @app.after_request
    def start(response: Response) -> Response:
        if recovery.asked.is_set():
            sender.start()
        return response


class _Sender:
    def __init__(self, recovery: Recovery) -> None:
        self._recovery = recovery
        self._busy = False
        self._changing = threading.Lock()

    def start(self) -> None:
        with self._changing:
            if not self._busy:
                self._busy = True
                threading.Thread(target=self._send, name="mail", daemon=True).start()

    def _send(self) -> None:
        try:
            while not self._is_done():
                self._recovery.asked.wait(_PAUSE_SECONDS)
        except BaseException:
            self._busy = False
            raise

    def _is_done(self) -> bool:
        """Send what is due; whether nothing is left and nobody asked meanwhile."""
        self._recovery.asked.clear()
        try:
            some_left = self._recovery.send_waiting()
        except SQLAlchemyError as error:
            _log.warning("waiting mails can't be read: %s", type(error).__name__)
            some_left = True
        with self._changing:
            self._busy = some_left or self._recovery.asked.is_set()
            return not self._busy
