"""Queue of mails that are sent in the background and retried after failures."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from backend.chassis.database.sessions import Database, Session
from backend.chassis.encryption import DecryptionError, Encryptor
from backend.services.auth.clients.mail import MailNotSent, MailSender, MailUndeliverable
from backend.services.auth.domain.mail_retries import CLAIM_DURATION, get_next_attempt
from backend.services.auth.store import delivery_queue
from backend.services.auth.store.outgoing_mails import OutgoingMail

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _ClaimedMail:
    id: str
    recipient: str
    subject: str
    text: str
    created_at: datetime
    attempts: int


class OutgoingMails:
    """Queue and send mails.

    Args:
        mail_sender: None if no mail can be sent; mails are then not queued.
        encryptor: encrypts recipients and texts.
    """

    def __init__(
        self,
        database: Database,
        mail_sender: MailSender | None,
        encryptor: Encryptor,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._mail_sender = mail_sender
        self._encryptor = encryptor
        self._now = now
        # Set when a mail is queued, so that the mail thread sends it immediately.
        self.request_added = threading.Event()

    @property
    def can_send(self) -> bool:
        return self._mail_sender is not None

    def add_mail(self, session: Session, recipient: str, subject: str, text: str) -> None:
        """Queue a mail in the caller's transaction. Call `notify_added` after it."""
        if not self.can_send:
            return
        now = self._now()
        session.add(
            OutgoingMail(
                sealed_recipient=self._encryptor.encrypt_text(recipient),
                subject=subject,
                sealed_text=self._encryptor.encrypt_text(text),
                created_at=now,
                not_before=now,
            )
        )

    def notify_added(self) -> None:
        """Make the mail thread send the queued mails immediately."""
        self.request_added.set()

    def send_due_mails(self) -> bool:
        """Send all mails that are due.

        A mail claimed by a process that was killed becomes due again after two minutes, so it may
        be sent twice, but none is lost.

        Returns:
            True if further mails are queued for later.
        """
        while self._mail_sender is not None and (mail := self._claim_mail()) is not None:
            try:
                self._mail_sender.send_mail(mail.recipient, mail.subject, mail.text)
            except MailNotSent as error:
                self._postpone(mail, str(error))
            except MailUndeliverable as error:
                _log.warning("a mail is undeliverable: %s", error)
                self._delete(mail.id)
            else:
                self._delete(mail.id)
        return self.has_pending_mails()

    def has_pending_mails(self) -> bool:
        """Return True if mails are queued, including those of an earlier process."""
        with self._database.read() as session:
            return self.can_send and delivery_queue.has_rows(session, OutgoingMail)

    def _claim_mail(self) -> _ClaimedMail | None:
        now = self._now()
        while True:
            with self._database.write() as session:
                row = delivery_queue.claim_row(session, OutgoingMail, now, now + CLAIM_DURATION)
                if row is None:
                    return None
                try:
                    recipient = self._encryptor.decrypt_text(row.sealed_recipient)
                    text = self._encryptor.decrypt_text(row.sealed_text)
                except DecryptionError:
                    # SECRET_KEY was changed. The user has to repeat the change.
                    delivery_queue.delete_row(session, OutgoingMail, row.id)
                    continue
                return _ClaimedMail(
                    row.id, recipient, row.subject, text, row.created_at, row.attempts
                )

    def _postpone(self, mail: _ClaimedMail, reason: str) -> None:
        next_attempt = get_next_attempt(mail.created_at, mail.attempts, self._now())
        next_step = "abandoned" if next_attempt is None else "will be retried"
        _log.warning("a mail was not sent and %s: %s", next_step, reason)
        with self._database.write() as session:
            if next_attempt is None:
                delivery_queue.delete_row(session, OutgoingMail, mail.id)
            else:
                delivery_queue.postpone_row(session, OutgoingMail, mail.id, next_attempt)

    def _delete(self, mail_id: str) -> None:
        with self._database.write() as session:
            delivery_queue.delete_row(session, OutgoingMail, mail_id)
