"""Invalidation of restored sessions and tokens."""

from datetime import datetime

from sqlalchemy import Connection, case, delete, update

from backend.services.auth.store.accounts import User
from backend.services.auth.store.credentials.external_identities import SignInAttempt
from backend.services.auth.store.credentials.password_recovery import (
    PasswordResetRequest,
    PasswordResetToken,
)
from backend.services.auth.store.sessions import LoginSession
from backend.services.auth.store.tenants import Tenant

_SECONDS_PER_MINUTE = 60


def invalidate_sessions_and_tokens(connection: Connection, now: datetime) -> None:
    """End all sessions, invalidate all tokens and delete pending resets and sign-ins.

    A session of the backup may have ended since the backup, and a password reset token may have
    been used. Generations are raised to the minutes since 1970 (or incremented if they are
    already higher), so they exceed every generation published before, also after repeated
    restores.
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
    for pending in (PasswordResetToken, PasswordResetRequest, SignInAttempt):
        connection.execute(delete(pending))
