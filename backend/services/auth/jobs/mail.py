"""Background threads that send queued mails and retry failed ones."""

import logging
import threading
from typing import Protocol

from flask import Flask, Response
from sqlalchemy.exc import SQLAlchemyError

_log = logging.getLogger(__name__)
_RETRY_INTERVAL_SECONDS = 5.0


class MailQueue(Protocol):
    """Queued mails. `request_added` is set when one is added."""

    request_added: threading.Event

    def send_due_mails(self) -> bool:
        """Send all mails that are due; return True if further ones are queued for later."""

    def has_pending_mails(self) -> bool:
        """Return True if mails are queued."""


def start_mail_thread_on_request(app: Flask, queue: MailQueue) -> None:
    """Run a mail thread while mails are queued, from the first request of *app* on."""
    mail_thread = _MailThread(queue)
    if queue.has_pending_mails():
        queue.request_added.set()

    @app.after_request
    def start(response: Response) -> Response:
        if queue.request_added.is_set():
            mail_thread.start()
        return response


class _MailThread:
    """Starts a thread when mails are queued. The thread exits when the queue is empty."""

    def __init__(self, queue: MailQueue) -> None:
        self._queue = queue
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
                self._queue.request_added.wait(_RETRY_INTERVAL_SECONDS)
        except BaseException:
            self._is_running = False
            raise

    def _process_queue(self) -> bool:
        """Send due mails; return True if the queue is empty and no request was added."""
        self._queue.request_added.clear()
        try:
            has_pending = self._queue.send_due_mails()
        except SQLAlchemyError as error:
            _log.warning("queued mails cannot be read: %s", type(error).__name__)
            has_pending = True
        except Exception:  # noqa: BLE001 - the queue is processed again after the interval
            _log.exception("queued mails cannot be sent")
            has_pending = True
        with self._state_lock:
            self._is_running = has_pending or self._queue.request_added.is_set()
            return not self._is_running
