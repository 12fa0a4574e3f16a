"""Login sessions: sign-in, refresh token rotation and sign-out.

Refresh tokens are rotated on every use. Reuse of a consumed token revokes the session
(RFC 6819, section 5.2.2.3).
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.chassis.database.sessions import Database, Session
from backend.security.addresses import rate_limit_address
from backend.services.auth.domain.account_events import end_session, end_user_sessions
from backend.services.auth.domain.accounts import Account, load_account
from backend.services.auth.domain.audit import RequestOrigin, record_audit_event
from backend.services.auth.domain.credentials.failed_attempts import AttemptLimiter
from backend.services.auth.domain.credentials.known_devices import KnownDevices
from backend.services.auth.domain.credentials.passwords import PasswordHasher
from backend.services.auth.domain.credentials.second_factor import SecondFactorService
from backend.services.auth.domain.revocations import RevocationPublisher
from backend.services.auth.domain.usernames import (
    normalize_email,
    normalize_login_name,
    parse_username,
)
from backend.services.auth.errors import (
    AccountDisabled,
    InvalidCredentials,
    InvalidRefreshToken,
    InvalidTotp,
    InvalidUsername,
    ReauthenticationRequired,
    RefreshReused,
    ResourceNotFound,
    SessionEnded,
    TotpRequired,
)
from backend.services.auth.store import accounts
from backend.services.auth.store import sessions as store
from backend.services.auth.store.credentials import pending_emails

# A consumed token is accepted again for this long: a client may send two refresh requests
# concurrently, or retry after a lost response.
REFRESH_GRACE = timedelta(seconds=10)
# Sensitive operations require a proof that is at most this old.
PROOF_LIFETIME = timedelta(minutes=5)
_PREFIX = "rt_"
# How long a consumed token is remembered. Until then its reuse is reported as theft, afterwards
# as an unknown token.
_CONSUMED_TOKEN_RETENTION = timedelta(days=7)
_EXPIRED_SESSION_RETENTION = timedelta(days=7)
_MAX_USER_AGENT = 400


@dataclass(frozen=True, slots=True)
class SignInResult:
    """A session with its account and its current refresh token."""

    account: Account
    session_id: str
    refresh_token: str


@dataclass(frozen=True, slots=True)
class ActiveSession:
    """A session that has neither ended nor expired."""

    id: str
    method: str
    address: str
    user_agent: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


class SessionService:
    """Open, refresh and end login sessions.

    Args:
        lifetime: maximum age of a session, however often it is refreshed.
    """

    def __init__(
        self,
        database: Database,
        hasher: PasswordHasher,
        publisher: RevocationPublisher,
        second_factor: SecondFactorService,
        limiter: AttemptLimiter,
        known_devices: KnownDevices,
        lifetime: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._publisher = publisher
        self._second_factor = second_factor
        self._limiter = limiter
        self._known_devices = known_devices
        self._lifetime = lifetime
        self._now = now

    def sign_in(
        self,
        name: str,
        password: str,
        code: str | None,
        origin: RequestOrigin,
        device_token: str = "",
    ) -> SignInResult:
        """Verify the credentials and open a session.

        Args:
            name: username or e-mail address.
            code: TOTP or recovery code, if the account has a second factor.
            device_token: token of a known device, or an empty string.

        Raises:
            InvalidCredentials: the name is unknown or the password is wrong. Both cases take
                the same work, so that response times do not reveal which names exist.
            TotpRequired: the account has a second factor and *code* is None.
            InvalidTotp: *code* is not valid.
            AccountDisabled: the credentials are correct, but the account is disabled.
            TooManyAttempts: too many sign-ins failed.
            TooBusy: too many passwords are being hashed.
        """
        user_id, attempt_key = self._identify_account(name)
        device_id = self._known_devices.get_device_id(device_token, user_id) if user_id else None
        network = rate_limit_address(origin.address)
        with self._limiter.limit_sign_in(attempt_key, network, device_id):
            return self._check_and_sign_in(name, password, code, origin)

    def _check_and_sign_in(
        self, name: str, password: str, code: str | None, origin: RequestOrigin
    ) -> SignInResult:
        with self._hasher.reserve_slot():
            with self._database.read() as session:
                user = find_user_by_login(session, name)
                user_id, password_hash = (user.id, user.password_hash) if user else (None, None)
            is_correct = self._hasher.matches_hash(password, password_hash)
            new_hash = (
                self._hasher.hash_password(password)
                if is_correct and password_hash and self._hasher.needs_rehash(password_hash)
                else None
            )
        if not is_correct or user_id is None:
            self._record_failure(user_id, origin, InvalidCredentials.code)
            raise InvalidCredentials
        if not self._second_factor.is_active(user_id):
            return self._create_session(user_id, "password", origin, new_hash)
        if code is None:
            raise TotpRequired
        if not self._second_factor.verify_code(user_id, code):
            self._record_failure(user_id, origin, InvalidTotp.code)
            raise InvalidTotp
        return self._create_session(user_id, "password_totp", origin, new_hash)

    def reauthenticate(
        self,
        user_id: str,
        session_id: str,
        password: str | None,
        code: str | None,
        origin: RequestOrigin,
    ) -> None:
        """Verify the password, the code or both, as a proof for the next sensitive operations.

        Raises:
            InvalidCredentials: the password is wrong.
            InvalidTotp: the code is not valid, or the account has no second factor.
            SessionEnded: the session does not exist, or has ended.
            TooManyAttempts: too many proofs of this session failed.
            TooBusy: too many passwords are being hashed.
        """
        with self._limiter.limit_proof(session_id):
            try:
                self._verify_proof(user_id, password, code)
            except (InvalidCredentials, InvalidTotp) as error:
                self._record_failure(user_id, origin, error.code, "session.reauthenticate")
                raise
        now = self._now()
        with self._database.write() as session:
            if not store.mark_proved(session, session_id, user_id, now):
                raise SessionEnded
            record_audit_event(
                session, now, origin, "session.reauthenticate", actor_id=user_id, target=session_id
            )

    def ensure_recent_proof(self, user_id: str, session_id: str) -> None:
        """Raise ReauthenticationRequired unless the session has a recent proof.

        A sign-in is a proof.
        """
        with self._database.read() as session:
            login_session = store.get_session(session, session_id)
            if (
                login_session is None
                or login_session.user_id != user_id
                or login_session.ended_at is not None
                or self._now() - (login_session.proved_at or login_session.created_at)
                >= PROOF_LIFETIME
            ):
                raise ReauthenticationRequired

    def _verify_proof(self, user_id: str, password: str | None, code: str | None) -> None:
        if password is not None:
            with self._hasher.reserve_slot():
                with self._database.read() as session:
                    user = accounts.get_user(session, user_id)
                    password_hash = user.password_hash if user else None
                if not self._hasher.matches_hash(password, password_hash):
                    raise InvalidCredentials("The password is wrong.")
        if code is not None and not (
            self._second_factor.is_active(user_id)
            and self._second_factor.verify_code(user_id, code)
        ):
            raise InvalidTotp

    def is_known_device(self, name: str, device_token: str) -> bool:
        """Return True if *device_token* belongs to a known device of the account *name*."""
        if not device_token:
            return False
        user_id, _ = self._identify_account(name)
        return user_id is not None and (
            self._known_devices.get_device_id(device_token, user_id) is not None
        )

    def _identify_account(self, name: str) -> tuple[str | None, str]:
        """Return the user id, and the subject of failed sign-ins for all spellings of *name*."""
        with self._database.read() as session:
            user = find_user_by_login(session, name)
            if user is None:
                return None, normalize_login_name(name)
            # Incrementing `unlocks` resets the count.
            return user.id, f"{user.id} {user.unlocks}"

    def open_session(self, user_id: str, method: str, origin: RequestOrigin) -> SignInResult:
        """Open a session for a user that was authenticated by *method*.

        Raises:
            AccountDisabled: the account is disabled.
            InvalidCredentials: the account is deleted.
        """
        return self._create_session(user_id, method, origin, None)

    def refresh_session(self, token: str, origin: RequestOrigin) -> SignInResult:
        """Consume refresh token *token* and return its successor.

        A consumed token is accepted again within `REFRESH_GRACE`, as long as its successor is
        unused; the same successor is returned.

        Raises:
            InvalidRefreshToken: the token is unknown.
            SessionEnded: the session has ended or expired, or the account is disabled.
            RefreshReused: the token was consumed before. The session has been ended.
        """
        with self._database.write() as session:
            row = store.find_refresh_token(session, _hash_token(token))
            if row is None:
                raise InvalidRefreshToken
            session_id = row.session_id
            if self._rotate_refresh_token(session, row, token):
                return self._resume_session(
                    session, session_id, _derive_successor(token, row.salt), origin
                )
            login_session = store.get_session(session, session_id)
            if login_session is not None and end_session(
                session, login_session.user_id, session_id, "refresh_reused", self._now()
            ):
                self._record_event(session, session_id, origin, "session.refresh", "refresh_reused")
        self._publisher.publish_ended_session(session_id)
        raise RefreshReused

    def sign_out(self, user_id: str, session_id: str, origin: RequestOrigin) -> None:
        """End the session and revoke its tokens on every service.

        Raises:
            SessionEnded: the user has no such session.
        """
        now = self._now()
        with self._database.write() as session:
            login_session = store.get_session(session, session_id)
            if login_session is None or login_session.user_id != user_id:
                raise SessionEnded
            if end_session(session, user_id, session_id, "logout", now):
                record_audit_event(
                    session, now, origin, "session.logout", actor_id=user_id, target=session_id
                )
        self._publisher.publish_ended_session(session_id)

    def sign_out_browser(self, refresh_token: str, origin: RequestOrigin) -> None:
        """End the session of *refresh_token*, if there is one.

        A consumed token names its session as well: another tab may have renewed it just now.
        """
        with self._database.read() as session:
            row = store.find_refresh_token(session, _hash_token(refresh_token))
            login_session = store.get_session(session, row.session_id) if row else None
            if login_session is None:
                return
            user_id, session_id = login_session.user_id, login_session.id
        self.sign_out(user_id, session_id, origin)

    def list_active_sessions(
        self, user_id: str, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[ActiveSession]:
        """Return up to *limit* active sessions of the user, newest first."""
        with self._database.read() as session:
            return [
                ActiveSession(
                    id=login_session.id,
                    method=login_session.method,
                    address=login_session.address,
                    user_agent=login_session.user_agent,
                    created_at=login_session.created_at,
                    last_used_at=login_session.last_used_at,
                    expires_at=login_session.expires_at,
                )
                for login_session in store.list_active_sessions(
                    session, user_id, self._now(), after, limit
                )
            ]

    def end_session(self, user_id: str, session_id: str, origin: RequestOrigin) -> None:
        """End one session of the user.

        Raises:
            ResourceNotFound: the user has no such active session.
        """
        now = self._now()
        with self._database.write() as session:
            login_session = store.get_session(session, session_id)
            if login_session is None or login_session.user_id != user_id:
                raise ResourceNotFound
            if not end_session(session, user_id, session_id, "ended_by_owner", now):
                raise ResourceNotFound
            record_audit_event(
                session, now, origin, "session.end", actor_id=user_id, target=session_id
            )
        self._publisher.publish_ended_session(session_id)

    def sign_out_everywhere(self, user_id: str, origin: RequestOrigin) -> None:
        """End all sessions of the user and revoke all access tokens."""
        now = self._now()
        with self._database.write() as session:
            end_user_sessions(session, user_id, "logout_all", now)
            pending_emails.delete_pending_email(session, user_id)
            generation = accounts.raise_generation(session, user_id, now)
            record_audit_event(session, now, origin, "session.logout_all", actor_id=user_id)
        self._publisher.publish_user_generation(user_id, generation)

    def _create_session(
        self, user_id: str, method: str, origin: RequestOrigin, new_hash: str | None
    ) -> SignInResult:
        now = self._now()
        with self._database.write() as session:
            user = accounts.get_user(session, user_id)
            if user is None:
                raise InvalidCredentials
            if user.disabled_at is not None:
                raise AccountDisabled
            if new_hash:
                user.password_hash = new_hash
            user.last_login_at = now
            store.delete_sessions_expired_before(session, user_id, now - _EXPIRED_SESSION_RETENTION)
            login_session = store.LoginSession(
                user_id=user_id,
                method=method,
                address=origin.address,
                user_agent=origin.user_agent[:_MAX_USER_AGENT],
                created_at=now,
                last_used_at=now,
                expires_at=now + self._lifetime,
            )
            store.add_session(session, login_session)
            token = _PREFIX + secrets.token_urlsafe(32)
            self._store_refresh_token(session, login_session.id, token)
            record_audit_event(
                session,
                now,
                origin,
                "session.login",
                actor_id=user_id,
                tenant_id=user.default_tenant_id,
                target=login_session.id,
                method=method,
            )
            return SignInResult(load_account(session, user), login_session.id, token)

    def _rotate_refresh_token(self, session: Session, row: store.RefreshToken, token: str) -> bool:
        """Consume *token* and store its successor; return False if the token was stolen."""
        now = self._now()
        if store.consume_refresh_token(session, row.digest, now):
            self._store_refresh_token(session, row.session_id, _derive_successor(token, row.salt))
            store.delete_refresh_tokens_consumed_before(
                session, row.session_id, now - _CONSUMED_TOKEN_RETENTION
            )
            return True
        # The token was consumed before, either by the same client a moment ago or by a thief.
        consumed = store.find_refresh_token(session, row.digest)
        successor = store.find_refresh_token(
            session, _hash_token(_derive_successor(token, row.salt))
        )
        return (
            consumed is not None
            and consumed.spent_at is not None
            and now - consumed.spent_at < REFRESH_GRACE
            and successor is not None
            and successor.spent_at is None
        )

    def _resume_session(
        self, session: Session, session_id: str, token: str, origin: RequestOrigin
    ) -> SignInResult:
        now = self._now()
        login_session = store.get_session(session, session_id)
        if (
            login_session is None
            or login_session.ended_at is not None
            or login_session.expires_at <= now
        ):
            raise SessionEnded
        user = accounts.get_user(session, login_session.user_id)
        if user is None or user.disabled_at is not None:
            raise SessionEnded
        login_session.last_used_at = now
        login_session.address = origin.address
        return SignInResult(load_account(session, user), session_id, token)

    def _store_refresh_token(self, session: Session, session_id: str, token: str) -> None:
        store.add_refresh_token(
            session,
            store.RefreshToken(
                digest=_hash_token(token),
                session_id=session_id,
                salt=secrets.token_urlsafe(16),
                issued_at=self._now(),
            ),
        )

    def _record_failure(
        self,
        user_id: str | None,
        origin: RequestOrigin,
        outcome: str,
        action: str = "session.login",
    ) -> None:
        # Do not record the submitted name: users sometimes type a password into that field.
        with self._database.write() as session:
            record_audit_event(
                session,
                self._now(),
                origin,
                action,
                outcome,
                target=user_id,
            )

    def _record_event(
        self, session: Session, session_id: str, origin: RequestOrigin, action: str, outcome: str
    ) -> None:
        login_session = store.get_session(session, session_id)
        record_audit_event(
            session,
            self._now(),
            origin,
            action,
            outcome,
            actor_id=login_session.user_id if login_session else None,
            target=session_id,
        )


def find_user_by_login(session: Session, name: str) -> accounts.User | None:
    """Return the user with the username or e-mail address *name*, or None."""
    if "@" in name:
        return accounts.find_user_by_email(session, normalize_email(name))
    try:
        return accounts.find_user_by_username(session, parse_username(name).key)
    except InvalidUsername:
        return None


def _hash_token(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _derive_successor(token: str, salt: str) -> str:
    """Derive the refresh token that follows *token*.

    The derivation is deterministic, so that concurrent refresh requests receive the same
    successor although the database stores only digests. It needs the token itself, so the
    successor cannot be computed from the database.
    """
    derived = hmac.digest(salt.encode(), token.encode(), "sha256")
    return _PREFIX + base64.urlsafe_b64encode(derived).rstrip(b"=").decode()
