"""Password change with the current password, and password reset by mail."""

import hashlib
import logging
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.chassis.database.sessions import Database, Session
from backend.chassis.encryption import DecryptionError, Encryptor
from backend.services.auth.clients.mail import MailNotSent, MailSender, MailUndeliverable
from backend.services.auth.domain.account_events import end_other_sessions, end_user_sessions
from backend.services.auth.domain.accounts import get_personal_words
from backend.services.auth.domain.audit import RequestOrigin, record_audit_event
from backend.services.auth.domain.credentials.failed_attempts import AttemptLimiter
from backend.services.auth.domain.credentials.passwords import PasswordHasher, PasswordPolicy
from backend.services.auth.domain.mail_retries import CLAIM_DURATION, get_next_attempt
from backend.services.auth.domain.revocations import RevocationPublisher
from backend.services.auth.domain.sessions import find_user_by_login
from backend.services.auth.errors import (
    InvalidCredentials,
    InvalidResetToken,
    InvalidSetupToken,
    SessionEnded,
    WeakPassword,
)
from backend.services.auth.store import accounts, delivery_queue
from backend.services.auth.store.credentials import password_recovery as store
from backend.services.auth.store.credentials import pending_emails
from backend.services.auth.store.credentials.password_recovery import PasswordResetRequest

_log = logging.getLogger(__name__)
TOKEN_LIFETIME = timedelta(minutes=30)
# Maximum number of mails per account and token lifetime, so that mailboxes cannot be flooded.
_MAILS_PER_LIFETIME = 3
_PREFIX = "prt_"
_RESET_PAGE = "/console/reset-password"
SETUP_TOKEN_LIFETIME = timedelta(hours=24)
_SETUP_PREFIX = "setup_"
_NEW_PASSWORD_POINTER = "#/new_password"  # noqa: S105 - a field's name

_SUBJECT = "Reset your password"
_BODY = """\
Hello {username},

a password reset was requested for your account. Open this link to set a new
password. It works once and expires in 30 minutes:

    {link}

Programs use the token at the end of the link: the part after the #.

If you did not request this, ignore this message. Your password is unchanged.
"""


@dataclass(frozen=True, slots=True)
class _ClaimedRequest:
    id: str
    sealed_name: str
    origin: RequestOrigin
    created_at: datetime
    attempts: int


class PasswordRecoveryService:
    """Change passwords, queue and send reset mails, and reset passwords with a token.

    Args:
        mail_sender: None if no mail can be sent; reset requests are then ignored.
        encryptor: encrypts the names in queued reset requests.
        public_url: address of the gateway in links, without a trailing slash.
    """

    def __init__(
        self,
        database: Database,
        hasher: PasswordHasher,
        policy: PasswordPolicy,
        publisher: RevocationPublisher,
        limiter: AttemptLimiter,
        mail_sender: MailSender | None,
        encryptor: Encryptor,
        public_url: str,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._policy = policy
        self._publisher = publisher
        self._limiter = limiter
        self._mail_sender = mail_sender
        self._encryptor = encryptor
        self._public_url = public_url
        self._now = now
        # Set when a request is queued, so that the mail thread sends it immediately.
        self.request_added = threading.Event()

    def change_password(
        self, user_id: str, session_id: str, current: str, new: str, origin: RequestOrigin
    ) -> None:
        """Set the password *new* and end every session except *session_id*.

        Raises:
            InvalidCredentials: *current* is not the current password.
            WeakPassword: *new* does not meet the policy, or is the current password.
            SessionEnded: the account was deleted after the request was authenticated.
            TooManyAttempts: too many proofs of this session failed.
            TooBusy: too many passwords are being hashed.
        """
        with self._limiter.limit_proof(session_id), self._hasher.reserve_slot():
            with self._database.read() as session:
                user = accounts.get_user(session, user_id)
                if user is None:
                    raise SessionEnded
                current_hash = user.password_hash
                personal_words = get_personal_words(user.username_key, user.email)
            if not self._hasher.matches_hash(current, current_hash):
                self._record_event(user_id, origin, "password.change", "invalid_credentials")
                raise InvalidCredentials("The current password is wrong.")
            if self._hasher.matches_hash(new, current_hash):
                raise WeakPassword(
                    "This is the current password. Use another one.", _NEW_PASSWORD_POINTER
                )
            self._policy.check_password(new, personal_words, _NEW_PASSWORD_POINTER)
            new_hash = self._hasher.hash_password(new)
        now = self._now()
        with self._database.write() as session:
            # Compare and set: of two concurrent changes with the same current password, the
            # second must fail.
            if not accounts.replace_password_hash(session, user_id, current_hash, new_hash):
                raise InvalidCredentials("The current password is wrong.")
            store.delete_user_tokens(session, user_id)
            pending_emails.delete_pending_email(session, user_id)
            ended_ids = end_other_sessions(session, user_id, session_id, "password_change", now)
            record_audit_event(
                session, now, origin, "password.change", actor_id=user_id, target=user_id
            )
        for ended_id in ended_ids:
            self._publisher.publish_ended_session(ended_id)

    def request_reset(self, name: str, origin: RequestOrigin) -> None:
        """Queue a reset request for the username or e-mail address *name*.

        The account is looked up later by the mail thread, so the response time does not reveal
        whether it exists.
        """
        if self._mail_sender is None:
            return
        now = self._now()
        with self._database.write() as session:
            session.add(
                PasswordResetRequest(
                    sealed_name=self._encryptor.encrypt_text(name),
                    address=origin.address,
                    request_id=origin.request_id,
                    created_at=now,
                    not_before=now,
                )
            )
        self.request_added.set()

    def send_due_mails(self) -> bool:
        """Send all mails that are due.

        A request claimed by a process that was killed becomes due again after two minutes, so a
        mail may be sent twice, but none is lost.

        Returns:
            True if further requests are queued for later.
        """
        while self._mail_sender is not None and (request := self._claim_request()) is not None:
            try:
                self._send_mail(self._mail_sender, request)
            except MailNotSent as error:
                self._postpone(request, str(error))
            except DecryptionError:
                # SECRET_KEY was changed: the name cannot be decrypted. The user has to request
                # the reset again.
                with self._database.write() as session:
                    delivery_queue.delete_row(session, PasswordResetRequest, request.id)
            else:
                with self._database.write() as session:
                    delivery_queue.delete_row(session, PasswordResetRequest, request.id)
        return self.has_pending_mails()

    def has_pending_mails(self) -> bool:
        """Return True if requests are queued, including those of an earlier process."""
        with self._database.read() as session:
            return self._mail_sender is not None and delivery_queue.has_rows(
                session, PasswordResetRequest
            )

    def reset_password(self, token: str, new: str, origin: RequestOrigin) -> None:
        """Set the password *new* of the user that *token* was issued to; end all sessions.

        The token is not consumed if an error is raised.

        Raises:
            InvalidResetToken: the token is unknown, expired or used, or the account is disabled.
            WeakPassword: *new* does not meet the policy.
            TooBusy: too many passwords are being hashed.
        """
        self._use_token(token, new, origin, "password.reset")

    def create_setup_token(self, session: Session, user_id: str) -> str:
        """Return a token with which `set_up_account` sets the password of the first admin."""
        token, now = _SETUP_PREFIX + secrets.token_urlsafe(32), self._now()
        reset = store.PasswordResetToken(
            digest=hash_reset_token(token),
            user_id=user_id,
            created_at=now,
            expires_at=now + SETUP_TOKEN_LIFETIME,
        )
        store.add_reset_token(session, reset)
        return token

    def set_up_account(self, token: str, new: str, origin: RequestOrigin) -> str:
        """Set the password *new* of the user of a setup token, and return the user id.

        Raises:
            InvalidSetupToken: the token is unknown, expired or used, or no setup token.
            WeakPassword: *new* does not meet the policy.
            TooBusy: too many passwords are being hashed.
        """
        if not token.startswith(_SETUP_PREFIX):
            raise InvalidSetupToken
        try:
            return self._use_token(token, new, origin, "account.setup", "#/password")
        except InvalidResetToken:
            raise InvalidSetupToken from None

    def _use_token(
        self,
        token: str,
        new: str,
        origin: RequestOrigin,
        action: str,
        pointer: str = _NEW_PASSWORD_POINTER,
    ) -> str:
        """Set the password *new* of the user that *token* was issued to, and return the user id.

        Raises:
            InvalidResetToken: the token is unknown, expired or used, or the account is disabled.
            WeakPassword: *new* does not meet the policy.
            TooBusy: too many passwords are being hashed.
        """
        digest = hash_reset_token(token)
        with self._database.read() as session:
            row = store.find_reset_token(session, digest, self._now())
            user = accounts.get_user(session, row.user_id) if row else None
            if user is None or user.disabled_at is not None:
                raise InvalidResetToken
            personal_words = get_personal_words(user.username_key, user.email)
        with self._hasher.reserve_slot():
            self._policy.check_password(new, personal_words, pointer)
            new_hash = self._hasher.hash_password(new)
        now = self._now()
        with self._database.write() as session:
            user_id = store.consume_reset_token(session, digest, now)
            if user_id is None:
                raise InvalidResetToken
            accounts.set_password_hash(session, user_id, new_hash)
            store.delete_user_tokens(session, user_id)
            pending_emails.delete_pending_email(session, user_id)
            end_user_sessions(session, user_id, "password_reset", now)
            generation = accounts.raise_generation(session, user_id, now)
            record_audit_event(session, now, origin, action, actor_id=user_id, target=user_id)
        self._publisher.publish_user_generation(user_id, generation)
        return user_id

    def _claim_request(self) -> _ClaimedRequest | None:
        now = self._now()
        with self._database.read() as session:
            if not delivery_queue.has_due_row(session, PasswordResetRequest, now):
                return None
        with self._database.write() as session:
            row = delivery_queue.claim_row(session, PasswordResetRequest, now, now + CLAIM_DURATION)
            if row is None:
                return None
            return _ClaimedRequest(
                id=row.id,
                sealed_name=row.sealed_name,
                origin=RequestOrigin(row.address, "", row.request_id),
                created_at=row.created_at,
                attempts=row.attempts,
            )

    def _send_mail(self, mail_sender: MailSender, request: _ClaimedRequest) -> None:
        now = self._now()
        name = self._encryptor.decrypt_text(request.sealed_name)
        token = generate_reset_token()
        with self._database.write() as session:
            user = find_user_by_login(session, name)
            if user is None or user.email is None or user.disabled_at is not None:
                return
            if (
                store.count_tokens_since(session, user.id, now - TOKEN_LIFETIME)
                >= _MAILS_PER_LIFETIME
            ):
                return
            # Store the token before it is sent: a token that arrives must be valid.
            reset = store.PasswordResetToken(
                digest=hash_reset_token(token),
                user_id=user.id,
                created_at=now,
                expires_at=now + TOKEN_LIFETIME,
            )
            store.add_reset_token(session, reset)
            user_id, recipient, username = user.id, user.email, user.username
        try:
            link = f"{self._public_url}{_RESET_PAGE}#{token}"
            mail_sender.send_mail(recipient, _SUBJECT, _BODY.format(username=username, link=link))
        except MailNotSent:
            with self._database.write() as session:
                store.consume_reset_token(session, hash_reset_token(token), now)
            raise
        except MailUndeliverable as error:
            _log.warning("a password reset mail is undeliverable: %s", error)
            self._record_event(None, request.origin, "password.forgot", "undeliverable", user_id)
        else:
            self._record_event(None, request.origin, "password.forgot", "success", user_id)

    def _postpone(self, request: _ClaimedRequest, reason: str) -> None:
        next_attempt = get_next_attempt(request.created_at, request.attempts, self._now())
        next_step = "abandoned" if next_attempt is None else "will be retried"
        _log.warning("a password reset mail was not sent and %s: %s", next_step, reason)
        with self._database.write() as session:
            if next_attempt is None:
                delivery_queue.delete_row(session, PasswordResetRequest, request.id)
            else:
                delivery_queue.postpone_row(session, PasswordResetRequest, request.id, next_attempt)

    def _record_event(
        self,
        actor_id: str | None,
        origin: RequestOrigin,
        action: str,
        outcome: str,
        target: str | None = None,
    ) -> None:
        with self._database.write() as session:
            record_audit_event(
                session,
                self._now(),
                origin,
                action,
                outcome,
                actor_id=actor_id,
                target=target or actor_id,
            )


def generate_reset_token() -> str:
    return _PREFIX + secrets.token_urlsafe(32)


def hash_reset_token(token: str) -> str:
    """Return the digest under which a token is stored."""
    return hashlib.sha256(token.encode()).hexdigest()
