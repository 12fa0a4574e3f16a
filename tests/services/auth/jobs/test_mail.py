"""The thread that sends queued mails."""

import threading

from flask import Flask

from backend.services.auth.jobs import mail
from tests.servers import wait_until


class Queue:
    """A queue with one mail, which cannot be sent at first."""

    def __init__(self):
        self.request_added = threading.Event()
        self.errors = [RuntimeError("the template is broken")]
        self.sent = 0

    def has_pending_mails(self):
        return True

    def send_due_mails(self):
        if self.errors:
            raise self.errors.pop()
        self.sent += 1
        return False


def test_mail_is_sent_again_after_an_unexpected_error(monkeypatch):
    monkeypatch.setattr(mail, "_RETRY_INTERVAL_SECONDS", 0.05)
    app, queue = Flask("any"), Queue()
    mail.start_mail_thread_on_request(app, queue)

    app.test_client().get("/")

    wait_until(lambda: queue.sent == 1)
