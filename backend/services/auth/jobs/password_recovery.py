"""Background thread that sends password reset mails and retries failed ones."""

import logging
import threading

from flask import Flask, Response
from sqlalchemy.exc import SQLAlchemyError

from backend.services.auth.domain.credentials.password_recovery import PasswordRecoveryService

_log = logging.getLogger(__name__)
_RETRY_INTERVAL_SECONDS = 5.0


def start_mail_thread_on_request(app: Flask, recovery: PasswordRecoveryService) -> None:
    """Run a mail thread while mails are queued, from the first request of *app* on."""
    mail_thread = _MailThread(recovery)
    if recovery.has_pending_mails():
        recovery.request_added.set()

    @app.after_request
    def start(response: Response) -> Response:
        if recovery.request_added.is_set():
            mail_thread.start()
        return response


class _MailThread:
    """Starts a thread when mails are queued. The thread exits when the queue is empty."""

    def __init__(self, recovery: PasswordRecoveryService) -> None:
        self._recovery = recovery
        self._is_running = False
        self._state_lock = threading.Lock()

    def start(self) -> None:
        with self._state_lock:
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="mail", daemon=True).start()

    def _run(self) -> None:
        try:
            while not self._process_queue():
                self._recovery.request_added.wait(_RETRY_INTERVAL_SECONDS)
        except BaseException:
            self._is_running = False
            raise

    def _process_queue(self) -> bool:
        """Send due mails; return True if the queue is empty and no request was added."""
        self._recovery.request_added.clear()
        try:
            has_pending = self._recovery.send_due_mails()
        except SQLAlchemyError as error:
            _log.warning("queued mails cannot be read: %s", type(error).__name__)
            has_pending = True
        with self._state_lock:
            self._is_running = has_pending or self._recovery.request_added.is_set()
            return not self._is_running
