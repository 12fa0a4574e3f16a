"""Sessions: signing in, going on with a refresh token, signing out."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.chassis.database.sessions import Database, Session
from backend.services.auth.domain.accounts import Account, account_of
from backend.services.auth.domain.audit import Origin, note
from backend.services.auth.domain.passwords import PasswordDesk
from backend.services.auth.domain.revocations import Revoker
from backend.services.auth.domain.second_factor import SecondFactor
from backend.services.auth.domain.usernames import email_key, name_key, read_username
from backend.services.auth.errors import (
    AccountDisabled,
    InvalidCredentials,
    InvalidRefreshToken,
    InvalidTotp,
    NoSuchThing,
    RefreshReused,
    SessionEnded,
    TotpRequired,
    UnfitUsername,
)
from backend.services.auth.store import accounts
from backend.services.auth.store import sessions as store

# Two requests of one client that refresh at once, or an answer that got lost.
REFRESH_GRACE = timedelta(seconds=10)
_PREFIX = "rt_"
# How long a spent token is still known as stolen rather than as unknown.
_SPENT_MEMORY = timedelta(days=7)
_ENDED_MEMORY = timedelta(days=7)
_MAX_USER_AGENT = 400


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session with the account it belongs to and the token to go on with."""

    account: Account
    session_id: str
    refresh_token: str


@dataclass(frozen=True, slots=True)
class OpenSession:
    """Where somebody is signed in."""

    id: str
    method: str
    address: str
    user_agent: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


class Sessions:
    def __init__(
        self,
        database: Database,
        desk: PasswordDesk,
        revoker: Revoker,
        second_factor: SecondFactor,
        lifetime: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._desk = desk
        self._revoker = revoker
        self._second_factor = second_factor
        self._lifetime = lifetime
        self._now = now

    def sign_in(self, name: str, password: str, code: str | None, origin: Origin) -> SignedIn:
        """Open a session for whoever has *name* (or the e-mail), *password* and *code*.

        Raises InvalidCredentials, the same way and after the same work for an
        unknown name as for a wrong password; TotpRequired or InvalidTotp, where a
        second factor is on; AccountDisabled; TooManyAttempts; TooBusy.
        """
        with self._desk.place():
            with self._database.read() as session:
                user = find_user(session, name)
                user_id, hashed = (user.id, user.password_hash) if user else (None, None)
            right = self._desk.matches(password, hashed)
            better = (
                self._desk.hash(password)
                if right and hashed and self._desk.needs_rehash(hashed)
                else None
            )
        if not right or user_id is None:
            self._note_failure(user_id, origin, InvalidCredentials.code)
            raise InvalidCredentials
        if not self._second_factor.is_on(user_id):
            return self._open(user_id, "password", origin, better)
        if code is None:
            raise TotpRequired
        if not self._second_factor.accepts(user_id, code):
            self._note_failure(user_id, origin, InvalidTotp.code)
            raise InvalidTotp
        return self._open(user_id, "password_totp", origin, better)

    def counted_as(self, name: str) -> str:
        """Under what failures to sign in as *name* are counted: one for all spellings."""
        with self._database.read() as session:
            user = find_user(session, name)
            return f"{user.id} {user.unlocks}" if user else name_key(name)

    def open(self, user_id: str, method: str, origin: Origin) -> SignedIn:
        """Open a session for *user_id*, who has shown who they are by *method*."""
        return self._open(user_id, method, origin, None)

    def refresh(self, token: str, origin: Origin) -> SignedIn:
        """Spend *token* for the next one.

        Raises InvalidRefreshToken; SessionEnded; RefreshReused, which has ended
        the session: a token spent before is forgiven only within the grace, and
        only until its successor was used.
        """
        with self._database.write() as session:
            row = store.find_refresh_token(session, _digest(token))
            if row is None:
                raise InvalidRefreshToken
            session_id = row.session_id
            if self._rotate(session, row, token):
                return self._go_on(session, session_id, _successor(token, row.salt), origin)
            ended = store.end(session, session_id, "refresh_reused", self._now())
            if ended:
                self._note(session, session_id, origin, "session.refresh", "refresh_reused")
        self._revoker.end_session(session_id)
        raise RefreshReused

    def sign_out(self, user_id: str, session_id: str, origin: Origin) -> None:
        """End the session; its tokens stop working on every service."""
        now = self._now()
        with self._database.write() as session:
            login = store.get(session, session_id)
            if login is None or login.user_id != user_id:
                raise SessionEnded
            if store.end(session, session_id, "logout", now):
                note(session, now, origin, "session.logout", actor_id=user_id, target=session_id)
        self._revoker.end_session(session_id)

    def open_of(
        self, user_id: str, after: tuple[datetime, str] | None, count: int
    ) -> Sequence[OpenSession]:
        """Where *user_id* is signed in, the newest first."""
        with self._database.read() as session:
            return [
                OpenSession(
                    id=login.id,
                    method=login.method,
                    address=login.address,
                    user_agent=login.user_agent,
                    created_at=login.created_at,
                    last_used_at=login.last_used_at,
                    expires_at=login.expires_at,
                )
                for login in store.open_of(session, user_id, self._now(), after, count)
            ]

    def end(self, user_id: str, session_id: str, origin: Origin) -> None:
        """End one session of *user_id*, or raise NoSuchThing."""
        now = self._now()
        with self._database.write() as session:
            login = store.get(session, session_id)
            if login is None or login.user_id != user_id:
                raise NoSuchThing
            if not store.end(session, session_id, "ended_by_owner", now):
                raise NoSuchThing
            note(session, now, origin, "session.end", actor_id=user_id, target=session_id)
        self._revoker.end_session(session_id)

    def sign_out_everywhere(self, user_id: str, origin: Origin) -> None:
        """End all sessions and tokens of *user_id*."""
        now = self._now()
        with self._database.write() as session:
            store.end_all(session, user_id, "logout_all", now)
            generation = accounts.raise_generation(session, user_id, now)
            note(session, now, origin, "session.logout_all", actor_id=user_id)
        self._revoker.raise_user(user_id, generation)

    def _open(self, user_id: str, method: str, origin: Origin, better_hash: str | None) -> SignedIn:
        now = self._now()
        with self._database.write() as session:
            user = accounts.get(session, user_id)
            if user is None:
                raise InvalidCredentials
            if user.disabled_at is not None:
                raise AccountDisabled
            if better_hash:
                user.password_hash = better_hash
            user.last_login_at = now
            store.forget_expired_before(session, user_id, now - _ENDED_MEMORY)
            login = store.LoginSession(
                user_id=user_id,
                method=method,
                address=origin.address,
                user_agent=origin.user_agent[:_MAX_USER_AGENT],
                created_at=now,
                last_used_at=now,
                expires_at=now + self._lifetime,
            )
            store.add(session, login)
            token = _PREFIX + secrets.token_urlsafe(32)
            self._hand_out(session, login.id, token)
            note(
                session,
                now,
                origin,
                "session.login",
                actor_id=user_id,
                tenant_id=user.default_tenant_id,
                target=login.id,
                method=method,
            )
            return SignedIn(account_of(session, user), login.id, token)

    def _rotate(self, session: Session, row: store.RefreshToken, token: str) -> bool:
        """Spend *token* and hand out its successor; False if that was theft."""
        now = self._now()
        if store.spend(session, row.digest, now):
            self._hand_out(session, row.session_id, _successor(token, row.salt))
            store.forget_spent_before(session, row.session_id, now - _SPENT_MEMORY)
            return True
        # Somebody was quicker: the same client, a moment ago, or a thief.
        spent = store.find_refresh_token(session, row.digest)
        successor = store.find_refresh_token(session, _digest(_successor(token, row.salt)))
        return (
            spent is not None
            and spent.spent_at is not None
            and now - spent.spent_at < REFRESH_GRACE
            and successor is not None
            and successor.spent_at is None
        )

    def _go_on(self, session: Session, session_id: str, token: str, origin: Origin) -> SignedIn:
        now = self._now()
        login = store.get(session, session_id)
        if login is None or login.ended_at is not None or login.expires_at <= now:
            raise SessionEnded
        user = accounts.get(session, login.user_id)
        if user is None or user.disabled_at is not None:
            raise SessionEnded
        login.last_used_at = now
        login.address = origin.address
        return SignedIn(account_of(session, user), session_id, token)

    def _hand_out(self, session: Session, session_id: str, token: str) -> None:
        store.add_refresh_token(
            session,
            store.RefreshToken(
                digest=_digest(token),
                session_id=session_id,
                salt=secrets.token_urlsafe(16),
                issued_at=self._now(),
            ),
        )

    def _note_failure(self, user_id: str | None, origin: Origin, outcome: str) -> None:
        # Not the name that was typed: people type passwords there.
        with self._database.write() as session:
            note(
                session,
                self._now(),
                origin,
                "session.login",
                outcome,
                target=user_id,
            )

    def _note(
        self, session: Session, session_id: str, origin: Origin, action: str, outcome: str
    ) -> None:
        login = store.get(session, session_id)
        note(
            session,
            self._now(),
            origin,
            action,
            outcome,
            actor_id=login.user_id if login else None,
            target=session_id,
        )


def find_user(session: Session, name: str) -> accounts.User | None:
    """Who signs in as *name*, be it a user name or an e-mail address."""
    if "@" in name:
        return accounts.find_by_email(session, email_key(name))
    try:
        return accounts.find_by_username(session, read_username(name).key)
    except UnfitUsername:
        return None


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _successor(token: str, salt: str) -> str:
    """The token after *token*: the same for everyone who holds it while it may be spent.

    Derived, so that requests that refresh at once get the same answer although
    the database keeps only hashes, and only from a token it hashed.
    """
    derived = hmac.digest(salt.encode(), token.encode(), "sha256")
    return _PREFIX + base64.urlsafe_b64encode(derived).rstrip(b"=").decode()
