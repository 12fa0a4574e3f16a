"""Rows that come from a backup: what must not come back to life with them."""

from datetime import datetime

from sqlalchemy import Connection, case, delete, update

from backend.services.auth.store.accounts import User
from backend.services.auth.store.external import SignInAttempt
from backend.services.auth.store.recovery import PasswordReset, ResetRequest
from backend.services.auth.store.sessions import LoginSession
from backend.services.auth.store.tenants import Tenant

_SECONDS_IN_A_MINUTE = 60


def end_everything(connection: Connection, now: datetime) -> None:
    """End all sessions and tokens, and forget what was on its way.

    A session of the backup may have ended since, and a token for a new password may have been
    used. Generations count on from the minutes since 1970: beyond any that was told before,
    also after another restore.
    """
    connection.execute(
        update(LoginSession)
        .where(LoginSession.ended_at.is_(None))
        .values(ended_at=now, end_reason="restored")
    )
    minutes = int(now.timestamp()) // _SECONDS_IN_A_MINUTE
    for table in (User, Tenant):
        beyond = case((table.generation >= minutes, table.generation + 1), else_=minutes)
        connection.execute(update(table).values(generation=beyond, generation_raised_at=now))
    for forgotten in (PasswordReset, ResetRequest, SignInAttempt):
        connection.execute(delete(forgotten))
