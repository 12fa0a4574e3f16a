"""Invalidation of restored sessions and tokens."""

from datetime import UTC, datetime

from sqlalchemy import Connection, case, delete, func, insert, select, update

from backend.services.auth.store.accounts import User
from backend.services.auth.store.credentials.external_identities import SignInAttempt
from backend.services.auth.store.credentials.password_recovery import (
    PasswordResetRequest,
    PasswordResetToken,
)
from backend.services.auth.store.credentials.pending_emails import PendingEmail
from backend.services.auth.store.invitations import Invitation
from backend.services.auth.store.outgoing_mails import OutgoingMail
from backend.services.auth.store.sessions import LoginSession
from backend.services.auth.store.signing_keys import SigningEpoch
from backend.services.auth.store.tenants import Tenant

_SECONDS_PER_MINUTE = 60
_FIRST_RESTORED_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


def invalidate_sessions_and_tokens(connection: Connection, now: datetime) -> None:
    """End all sessions, invalidate all tokens, and delete pending resets, mails and invitations.

    A session of the backup may have ended since the backup, a password reset token may have been
    used, and an invitation accepted or withdrawn. Pending sign-ins are deleted as well.
    Generations are raised to the minutes since 1970 (or incremented if they are already higher),
    so they exceed every generation published before, also after repeated restores. Tokens of users
    and tenants that the backup does not contain become invalid, because the signing key is
    replaced.
    """
    connection.execute(
        update(LoginSession)
        .where(LoginSession.ended_at.is_(None))
        .values(ended_at=now, end_reason="restored")
    )
    minutes = int(now.timestamp()) // _SECONDS_PER_MINUTE
    for table in (User, Tenant):
        raised = case((table.generation >= minutes, table.generation + 1), else_=minutes)
        connection.execute(update(table).values(generation=raised, generation_raised_at=now))
    for pending in (
        PasswordResetToken,
        PasswordResetRequest,
        SignInAttempt,
        PendingEmail,
        OutgoingMail,
        Invitation,
    ):
        connection.execute(delete(pending))
    _replace_signing_key(connection, now)


def _replace_signing_key(connection: Connection, now: datetime) -> None:
    """Switch to a signing key that has not signed any token, before or after the backup.

    The number of its epoch is the time in seconds, because the epochs since the backup are unknown.
    """
    last = connection.scalar(select(func.max(SigningEpoch.number))) or 0
    number = max(last + 1, int((now - _FIRST_RESTORED_EPOCH).total_seconds()))
    connection.execute(delete(SigningEpoch))
    connection.execute(insert(SigningEpoch).values(number=number, signs_from=now))
