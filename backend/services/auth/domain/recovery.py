"""Another password: for who knows the one they have, and for who forgot it."""

import hashlib
import logging
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.chassis.database.sessions import Database
from backend.chassis.encryption import BrokenSeal, Seal
from backend.services.auth.clients.mail import Mail, NotSent, Undeliverable
from backend.services.auth.domain.accounts import personal_words
from backend.services.auth.domain.audit import Origin, note
from backend.services.auth.domain.passwords import PasswordDesk, PasswordPolicy
from backend.services.auth.domain.revocations import Revoker
from backend.services.auth.domain.sessions import find_user
from backend.services.auth.errors import InvalidCredentials, InvalidResetToken, SessionEnded
from backend.services.auth.store import accounts, sessions
from backend.services.auth.store import recovery as store

_log = logging.getLogger(__name__)
TOKEN_LIFETIME = timedelta(minutes=30)
# So that nobody's mailbox can be filled from here.
_MAILS_PER_LIFETIME = 3
_CLAIM = timedelta(minutes=2)
_GIVE_UP_AFTER = timedelta(hours=24)
_LONGEST_PAUSE = timedelta(minutes=10)
_PREFIX = "prt_"
_NEW_PASSWORD = "#/new_password"  # noqa: S105 - a field's name

_SUBJECT = "Another password for your account"
_TEXT = """\
Hello {username},

somebody, probably you, asked for another password for your account. With this
token it can be set, once, within the next 30 minutes:

    {token}

If it was not you, you need not do anything: your password stays as it is.
"""


@dataclass(frozen=True, slots=True)
class _Claimed:
    id: str
    sealed_name: str
    origin: Origin
    created_at: datetime
    attempts: int


class Recovery:
    def __init__(
        self,
        database: Database,
        desk: PasswordDesk,
        policy: PasswordPolicy,
        revoker: Revoker,
        mail: Mail | None,
        seal: Seal,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._desk = desk
        self._policy = policy
        self._revoker = revoker
        self._mail = mail
        self._seal = seal
        self._now = now
        # Set when somebody asks, so that the mail leaves at once.
        self.asked = threading.Event()

    def change(self, user_id: str, session_id: str, current: str, new: str, origin: Origin) -> None:
        """Set *new* and end every session but *session_id*.

        Raises InvalidCredentials unless *current* is the password; WeakPassword; TooBusy.
        """
        with self._desk.place():
            with self._database.read() as session:
                user = accounts.get(session, user_id)
                if user is None:
                    raise SessionEnded
                known, words = user.password_hash, personal_words(user.username_key, user.email)
            if not self._desk.matches(current, known):
                self._note(user_id, origin, "password.change", "invalid_credentials")
                raise InvalidCredentials
            self._policy.check(new, words, _NEW_PASSWORD)
            hashed = self._desk.hash(new)
        now = self._now()
        with self._database.write() as session:
            # Compare and set: of two who change it at once, both knowing the old
            # one, the second no longer knows it.
            if not accounts.replace_password(session, user_id, known, hashed):
                raise InvalidCredentials
            store.forget(session, user_id)
            ended = sessions.end_others(session, user_id, session_id, "password_change", now)
            note(session, now, origin, "password.change", actor_id=user_id, target=user_id)
        for each in ended:
            self._revoker.end_session(each)

    def ask(self, name: str, origin: Origin) -> None:
        """Note that somebody forgot the password of *name* (or the e-mail address).

        Whether there is such an account is looked up later, by who sends the mail:
        here everybody waits equally long.
        """
        if self._mail is None:
            return
        now = self._now()
        with self._database.write() as session:
            store.ask(
                session,
                store.ResetRequest(
                    sealed_name=self._seal.close(name),
                    address=origin.address,
                    request_id=origin.request_id,
                    created_at=now,
                    not_before=now,
                ),
            )
        self.asked.set()

    def send_waiting(self) -> bool:
        """Send the mails that are due; whether others wait for later.

        What was claimed by a process that died is due again after a while, so a
        mail may come twice, but none is lost.
        """
        while self._mail is not None and (claimed := self._claim()) is not None:
            try:
                self._send(self._mail, claimed)
            except NotSent as error:
                self._put_off(claimed, str(error))
            except BrokenSeal:
                # Nobody can read any more whom it was for; they will ask again.
                with self._database.write() as session:
                    store.settle(session, claimed.id)
            else:
                with self._database.write() as session:
                    store.settle(session, claimed.id)
        return self.is_any_waiting()

    def is_any_waiting(self) -> bool:
        """Whether mails are still to be sent, perhaps since before this process began."""
        with self._database.read() as session:
            return self._mail is not None and store.is_any_waiting(session)

    def reset(self, token: str, new: str, origin: Origin) -> None:
        """Set *new* for whom *token* was sent to, and end all their sessions.

        Raises InvalidResetToken, WeakPassword or TooBusy; the token is then still good.
        """
        digest = digest_of(token)
        with self._database.read() as session:
            found = store.find(session, digest, self._now())
            user = accounts.get(session, found.user_id) if found else None
            if user is None or user.disabled_at is not None:
                raise InvalidResetToken
            words = personal_words(user.username_key, user.email)
        with self._desk.place():
            self._policy.check(new, words, _NEW_PASSWORD)
            hashed = self._desk.hash(new)
        now = self._now()
        with self._database.write() as session:
            user_id = store.spend(session, digest, now)
            if user_id is None:
                raise InvalidResetToken
            accounts.set_password(session, user_id, hashed)
            store.forget(session, user_id)
            sessions.end_all(session, user_id, "password_reset", now)
            generation = accounts.raise_generation(session, user_id, now)
            note(session, now, origin, "password.reset", actor_id=user_id, target=user_id)
        self._revoker.raise_user(user_id, generation)

    def _claim(self) -> _Claimed | None:
        now = self._now()
        with self._database.read() as session:
            if not store.is_any_due(session, now):
                return None
        with self._database.write() as session:
            row = store.claim(session, now, now + _CLAIM)
            if row is None:
                return None
            return _Claimed(
                id=row.id,
                sealed_name=row.sealed_name,
                origin=Origin(row.address, "", row.request_id),
                created_at=row.created_at,
                attempts=row.attempts,
            )

    def _send(self, mail: Mail, claimed: _Claimed) -> None:
        now = self._now()
        name = self._seal.open(claimed.sealed_name)
        token = new_token()
        with self._database.write() as session:
            user = find_user(session, name)
            if user is None or user.email is None or user.disabled_at is not None:
                return
            if store.sent_since(session, user.id, now - TOKEN_LIFETIME) >= _MAILS_PER_LIFETIME:
                return
            # Stored before it is sent: a token that arrives must be good.
            reset = store.PasswordReset(
                digest=digest_of(token),
                user_id=user.id,
                created_at=now,
                expires_at=now + TOKEN_LIFETIME,
            )
            store.add(session, reset)
            user_id, recipient, username = user.id, user.email, user.username
        try:
            mail.send(recipient, _SUBJECT, _TEXT.format(username=username, token=token))
        except NotSent:
            with self._database.write() as session:
                store.spend(session, digest_of(token), now)
            raise
        except Undeliverable as error:
            _log.warning("a mail can't be delivered: %s", error)
            self._note(None, claimed.origin, "password.forgot", "undeliverable", user_id)
        else:
            self._note(None, claimed.origin, "password.forgot", "success", user_id)

    def _put_off(self, claimed: _Claimed, reason: str) -> None:
        now = self._now()
        gave_up = now - claimed.created_at >= _GIVE_UP_AFTER
        _log.warning("a mail was not sent%s: %s", ", given up" if gave_up else "", reason)
        pause = min(timedelta(seconds=5 * 2 ** min(claimed.attempts, 10)), _LONGEST_PAUSE)
        with self._database.write() as session:
            if gave_up:
                store.settle(session, claimed.id)
            else:
                store.put_off(session, claimed.id, now + pause)

    def _note(
        self,
        actor_id: str | None,
        origin: Origin,
        action: str,
        outcome: str,
        target: str | None = None,
    ) -> None:
        with self._database.write() as session:
            note(
                session,
                self._now(),
                origin,
                action,
                outcome,
                actor_id=actor_id,
                target=target or actor_id,
            )


def new_token() -> str:
    return _PREFIX + secrets.token_urlsafe(32)


def digest_of(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()
