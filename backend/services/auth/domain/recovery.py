"""Another password: for who knows the one they have."""

from collections.abc import Callable
from datetime import datetime

from backend.chassis.database import Database
from backend.services.auth.domain.accounts import personal_words
from backend.services.auth.domain.audit import Origin, note
from backend.services.auth.domain.passwords import PasswordDesk, PasswordPolicy
from backend.services.auth.domain.revocations import Revoker
from backend.services.auth.errors import InvalidCredentials, SessionEnded
from backend.services.auth.store import accounts, sessions

_NEW_PASSWORD = "#/new_password"  # noqa: S105 - a field's name


class Recovery:
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
                self._note_failure(user_id, origin)
                raise InvalidCredentials
            self._policy.check(new, words, _NEW_PASSWORD)
            hashed = self._desk.hash(new)
        now = self._now()
        with self._database.write() as session:
            # Compare and set: of two who change it at once, both knowing the old
            # one, the second no longer knows it.
            if not accounts.replace_password(session, user_id, known, hashed):
                raise InvalidCredentials
            ended = sessions.end_others(session, user_id, session_id, "password_change", now)
            note(session, now, origin, "password.change", actor_id=user_id, target=user_id)
        for each in ended:
            self._revoker.end_session(each)

    def _note_failure(self, user_id: str, origin: Origin) -> None:
        with self._database.write() as session:
            note(
                session,
                self._now(),
                origin,
                "password.change",
                "invalid_credentials",
                actor_id=user_id,
                target=user_id,
            )
