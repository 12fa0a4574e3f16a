"""Password reset and second-factor removal by an operator."""

from collections.abc import Callable
from datetime import datetime

from backend.chassis.database.sessions import Database
from backend.security import Principal
from backend.services.auth.domain.account_events import end_user_sessions
from backend.services.auth.domain.accounts import get_personal_words
from backend.services.auth.domain.audit import RequestOrigin, record_audit_event
from backend.services.auth.domain.credentials.password_recovery import (
    TOKEN_LIFETIME,
    generate_reset_token,
    hash_reset_token,
)
from backend.services.auth.domain.credentials.passwords import PasswordHasher, PasswordPolicy
from backend.services.auth.domain.revocations import RevocationPublisher
from backend.services.auth.errors import ResourceNotFound
from backend.services.auth.store import accounts
from backend.services.auth.store.credentials import (
    password_recovery,
    pending_emails,
    second_factor,
)


class CredentialService:
    """Set passwords, issue reset tokens and remove second factors of other users."""

    def __init__(
        self,
        database: Database,
        hasher: PasswordHasher,
        policy: PasswordPolicy,
        publisher: RevocationPublisher,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._policy = policy
        self._publisher = publisher
        self._now = now

    def set_password(
        self, caller: Principal, user_id: str, password: str, origin: RequestOrigin
    ) -> None:
        """Set the password, reset the count of failed sign-ins and end all sessions.

        Raises:
            ResourceNotFound: the account does not exist.
            WeakPassword: the password does not meet the policy.
        """
        with self._database.read() as session:
            user = accounts.get_user(session, user_id)
            if user is None:
                raise ResourceNotFound
            personal_words = get_personal_words(user.username_key, user.email)
        self._policy.check_password(password, personal_words)
        password_hash = self._hasher.hash_password(password)
        now = self._now()
        with self._database.write() as session:
            user = accounts.get_user(session, user_id)
            if user is None:
                raise ResourceNotFound
            accounts.set_password_hash(session, user_id, password_hash)
            user.unlocks += 1
            second_factor.reset_failures(session, user_id)
            password_recovery.delete_user_tokens(session, user_id)
            pending_emails.delete_pending_email(session, user_id)
            end_user_sessions(session, user_id, "password_reset", now)
            generation = accounts.raise_generation(session, user_id, now)
            record_audit_event(
                session, now, origin, "password.reset", actor_id=caller.user_id, target=user_id
            )
        self._publisher.publish_user_generation(user_id, generation)

    def issue_reset_token(
        self, caller: Principal, user_id: str, origin: RequestOrigin
    ) -> tuple[str, datetime]:
        """Issue a one-time token for `POST /password/reset`.

        Returns:
            The token and its expiry.

        Raises:
            ResourceNotFound: the account does not exist.
        """
        now, token = self._now(), generate_reset_token()
        with self._database.write() as session:
            if accounts.get_user(session, user_id) is None:
                raise ResourceNotFound
            row = password_recovery.PasswordResetToken(
                digest=hash_reset_token(token),
                user_id=user_id,
                created_at=now,
                expires_at=now + TOKEN_LIFETIME,
            )
            password_recovery.add_reset_token(session, row)
            record_audit_event(
                session, now, origin, "password.forgot", actor_id=caller.user_id, target=user_id
            )
        return token, now + TOKEN_LIFETIME

    def remove_second_factor(self, caller: Principal, user_id: str, origin: RequestOrigin) -> None:
        """Remove the user's second factor, so that the password alone is sufficient."""
        with self._database.write() as session:
            second_factor.delete_factor(session, user_id)
            record_audit_event(
                session, self._now(), origin, "totp.off", actor_id=caller.user_id, target=user_id
            )
