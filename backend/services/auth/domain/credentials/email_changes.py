"""Change of the e-mail address: a new address must be confirmed with a token sent to it."""

import hashlib
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from backend.chassis.database.sessions import Database, Session
from backend.services.auth.domain.account_events import record_user_changed
from backend.services.auth.domain.audit import RequestOrigin, record_audit_event
from backend.services.auth.domain.credentials.failed_attempts import AttemptLimiter
from backend.services.auth.domain.outgoing_mails import OutgoingMails
from backend.services.auth.domain.usernames import normalize_email
from backend.services.auth.errors import EmailTaken, InvalidEmailToken, MailUnavailable
from backend.services.auth.store import accounts
from backend.services.auth.store.credentials import password_recovery
from backend.services.auth.store.credentials import pending_emails as store

_TOKEN_LIFETIME = timedelta(hours=24)
_PREFIX = "evt_"
_CONFIRM_PAGE = "/console/confirm-email"

_CONFIRM_SUBJECT = "Confirm your e-mail address"
_CONFIRM_TEXT = """\
Hello {username},

this address was entered as the new e-mail address of your account. Open this
link to confirm it. It works once and expires in 24 hours:

    {link}

Programs use the token at the end of the link: the part after the #.

If you did not request this, ignore this message. The account is not changed.
"""
_NOTICE_SUBJECT = "The e-mail address of your account is being changed"
_NOTICE_TEXT = """\
Hello {username},

a change of the e-mail address of your account was requested: {change}.

If you did not request this, change your password: this cancels the change and
ends all other sessions.
"""


class EmailChanges:
    """Change e-mail addresses, confirm new ones and notify the previous ones.

    *public_url* is the address of the gateway in links, without a trailing slash.
    """

    def __init__(
        self,
        database: Database,
        mails: OutgoingMails,
        limiter: AttemptLimiter,
        public_url: str,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._mails = mails
        self._limiter = limiter
        self._public_url = public_url
        self._now = now

    def count_change(self, user_id: str) -> None:
        """Count a change of the account's address. Call this before the transaction starts.

        Raises:
            TooManyAttempts: the address was changed five times within an hour.
        """
        self._limiter.count_email_change(user_id)

    def change_email(self, session: Session, user: accounts.User, email: str | None) -> None:
        """Remove the address, or store *email* as pending and send a token to it.

        If *email* is the current address, a pending change is withdrawn. If there is none and the
        current address is not confirmed, a token is sent to it.

        The previous address gets a notice. Call `notify_added` after the transaction.

        Raises:
            EmailTaken: another account has the address.
            MailUnavailable: the system cannot send mail, so the address cannot be confirmed.
        """
        if email == user.email:
            has_pending = store.get_pending_email(session, user.id, self._now()) is not None
            if email is None or has_pending or user.email_verified:
                store.delete_pending_email(session, user.id)
                return
        if email is None:
            store.delete_pending_email(session, user.id)
            change = "it is removed"
        else:
            self._store_pending_email(session, user, email)
            change = f"the new address is {email}, once it is confirmed there"
        if user.email is not None and user.email != email:
            text = _NOTICE_TEXT.format(username=user.username, change=change)
            self._mails.add_mail(session, user.email, _NOTICE_SUBJECT, text)
        if email is None:
            _set_email(session, user, None)

    def notify_added(self) -> None:
        """Make the mail thread send the queued mails immediately."""
        self._mails.notify_added()

    def get_pending_email(self, user_id: str) -> str | None:
        """Return the address that the user has to confirm, or None."""
        with self._database.read() as session:
            return store.get_pending_email(session, user_id, self._now())

    def confirm_email(self, token: str, origin: RequestOrigin) -> None:
        """Set the pending address that *token* was sent to.

        Raises:
            InvalidEmailToken: the token is unknown, expired or used, or the account is disabled.
            EmailTaken: another account has the address by now.
        """
        now = self._now()
        with self._database.write() as session:
            pending = store.consume_token(session, _hash_token(token), now)
            user = accounts.get_user(session, pending[0]) if pending else None
            if pending is None or user is None or user.disabled_at is not None:
                raise InvalidEmailToken
            _set_email(session, user, pending[1])
            record_user_changed(session, user, ["email"], now)
            record_audit_event(
                session, now, origin, "email.confirm", actor_id=user.id, target=user.id
            )

    def _store_pending_email(self, session: Session, user: accounts.User, email: str) -> None:
        if not self._mails.can_send:
            raise MailUnavailable
        owner = accounts.find_user_by_email(session, normalize_email(email))
        if owner is not None and owner.id != user.id:
            raise EmailTaken
        now, token = self._now(), _PREFIX + secrets.token_urlsafe(32)
        pending = store.PendingEmail(
            user_id=user.id,
            email=email,
            digest=_hash_token(token),
            created_at=now,
            expires_at=now + _TOKEN_LIFETIME,
        )
        store.replace_pending_email(session, pending)
        link = f"{self._public_url}{_CONFIRM_PAGE}#{token}"
        text = _CONFIRM_TEXT.format(username=user.username, link=link)
        self._mails.add_mail(session, email, _CONFIRM_SUBJECT, text)


def _set_email(session: Session, user: accounts.User, email: str | None) -> None:
    """Set the confirmed address. Delete reset tokens that were sent to the previous one."""
    fields = {
        "email": email,
        "email_key": normalize_email(email) if email else None,
        "email_verified": email is not None,
    }
    accounts.update_user(session, user, fields)
    password_recovery.delete_user_tokens(session, user.id)


def _hash_token(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
