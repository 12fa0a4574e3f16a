"""Another password for somebody who can't set one, by an operator."""

from collections.abc import Callable
from datetime import datetime

from backend.chassis.database.sessions import Database
from backend.security import Principal
from backend.services.auth.domain.accounts import personal_words
from backend.services.auth.domain.audit import Origin, note
from backend.services.auth.domain.passwords import PasswordDesk, PasswordPolicy
from backend.services.auth.domain.recovery import TOKEN_LIFETIME, digest_of, new_token
from backend.services.auth.domain.revocations import Revoker
from backend.services.auth.errors import NoSuchThing
from backend.services.auth.store import accounts, recovery, second_factor, sessions


class Credentials:
    def __init__(
        self,
        database: Database,
        desk: PasswordDesk,
        policy: PasswordPolicy,
        revoker: Revoker,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._desk = desk
        self._policy = policy
        self._revoker = revoker
        self._now = now

    def set_password(self, caller: Principal, user_id: str, password: str, origin: Origin) -> None:
        """Set *password*, forgive failed sign-ins, and end all sessions.

        Raises NoSuchThing or WeakPassword.
        """
        with self._database.read() as session:
            user = accounts.get(session, user_id)
            if user is None:
                raise NoSuchThing
            words = personal_words(user.username_key, user.email)
        self._policy.check(password, words)
        hashed = self._desk.hash(password)
        now = self._now()
        with self._database.write() as session:
            user = accounts.get(session, user_id)
            if user is None:
                raise NoSuchThing
            accounts.set_password(session, user_id, hashed)
            user.unlocks += 1
            second_factor.unblock(session, user_id)
            recovery.forget(session, user_id)
            sessions.end_all(session, user_id, "password_reset", now)
            generation = accounts.raise_generation(session, user_id, now)
            note(session, now, origin, "password.reset", actor_id=caller.user_id, target=user_id)
        self._revoker.raise_user(user_id, generation)

    def one_time_token(
        self, caller: Principal, user_id: str, origin: Origin
    ) -> tuple[str, datetime]:
        """What `POST /password/reset` takes once, and until when; NoSuchThing for no account."""
        now, token = self._now(), new_token()
        with self._database.write() as session:
            if accounts.get(session, user_id) is None:
                raise NoSuchThing
            reset = recovery.PasswordReset(
                digest=digest_of(token),
                user_id=user_id,
                created_at=now,
                expires_at=now + TOKEN_LIFETIME,
            )
            recovery.add(session, reset)
            note(session, now, origin, "password.forgot", actor_id=caller.user_id, target=user_id)
        return token, now + TOKEN_LIFETIME

    def drop_second_factor(self, caller: Principal, user_id: str, origin: Origin) -> None:
        """Let the user sign in with the password alone, until they set another factor up."""
        with self._database.write() as session:
            second_factor.remove(session, user_id)
            note(session, self._now(), origin, "totp.off", actor_id=caller.user_id, target=user_id)
