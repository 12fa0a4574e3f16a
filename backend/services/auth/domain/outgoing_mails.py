"""Queue of mails that are sent in the background and retried after failures."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.chassis.database.sessions import Database, Session
from backend.chassis.encryption import DecryptionError, Encryptor
from backend.services.auth.clients.mail import MailNotSent, MailSender, MailUndeliverable
from backend.services.auth.store import outgoing_mails as store

_log = logging.getLogger(__name__)
_CLAIM_DURATION = timedelta(minutes=2)
_ABANDON_AFTER = timedelta(hours=24)
_MAX_RETRY_DELAY = timedelta(minutes=10)


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
        store.add_mail(
            session,
            store.OutgoingMail(
                sealed_recipient=self._encryptor.encrypt_text(recipient),
                subject=subject,
                sealed_text=self._encryptor.encrypt_text(text),
                created_at=now,
                not_before=now,
            ),
        )

    def notify_added(self) -> None:
        """Have the mail thread send queued mails immediately."""
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
            return self.can_send and store.has_mails(session)

    def _claim_mail(self) -> _ClaimedMail | None:
        now = self._now()
        while True:
            with self._database.write() as session:
                row = store.claim_mail(session, now, now + _CLAIM_DURATION)
                if row is None:
                    return None
                try:
                    recipient = self._encryptor.decrypt_text(row.sealed_recipient)
                    text = self._encryptor.decrypt_text(row.sealed_text)
                except DecryptionError:
                    # SECRET_KEY was changed. The user has to repeat the change.
                    store.delete_mail(session, row.id)
                    continue
                return _ClaimedMail(
                    row.id, recipient, row.subject, text, row.created_at, row.attempts
                )

    def _postpone(self, mail: _ClaimedMail, reason: str) -> None:
        now = self._now()
        is_abandoned = now - mail.created_at >= _ABANDON_AFTER
        next_step = "abandoned" if is_abandoned else "will be retried"
        _log.warning("a mail was not sent and %s: %s", next_step, reason)
        delay = min(timedelta(seconds=5 * 2 ** min(mail.attempts, 10)), _MAX_RETRY_DELAY)
        with self._database.write() as session:
            if is_abandoned:
                store.delete_mail(session, mail.id)
            else:
                store.postpone_mail(session, mail.id, now + delay)

    def _delete(self, mail_id: str) -> None:
        with self._database.write() as session:
            store.delete_mail(session, mail_id)
