"""Counts of users, sessions, tenants and API keys across all tenants."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from sqlalchemy import func, or_, select, union_all
from sqlalchemy.orm import Session

from backend.chassis.daily_counts import Period
from backend.chassis.database.types import utc_day
from backend.services.auth.store.accounts import User
from backend.services.auth.store.audit import AuditRecord
from backend.services.auth.store.credentials.api_keys import ApiKey
from backend.services.auth.store.sessions import LoginSession
from backend.services.auth.store.tenants import Tenant


def count_users(session: Session) -> tuple[int, int]:
    """Return the number of accounts and the number of disabled ones."""
    query = select(func.count(), func.count(User.disabled_at)).where(User.deleted_at.is_(None))
    total, disabled = session.execute(query).one()
    return total, disabled


def count_active_users(session: Session, since: Sequence[datetime]) -> Sequence[int]:
    """Return, for each time in *since*, the number of users that used a session or key since.

    Session use is recorded when the access token is refreshed, so the counts are accurate to
    a few minutes.
    """
    earliest = min(since)
    seen = union_all(
        select(LoginSession.user_id, LoginSession.last_used_at).where(
            LoginSession.last_used_at >= earliest
        ),
        select(ApiKey.user_id, ApiKey.last_used_at).where(ApiKey.last_used_at >= earliest),
    ).subquery()
    last = (
        select(seen.c.user_id, func.max(seen.c.last_used_at).label("at"))
        .where(seen.c.user_id.not_in(select(User.id).where(User.deleted_at.is_not(None))))
        .group_by(seen.c.user_id)
        .subquery()
    )
    counts = (func.count().filter(last.c.at >= time) for time in since)
    return session.execute(select(*counts)).one()


def count_active_sessions(session: Session, now: datetime) -> int:
    """Return the number of sessions that have neither ended nor expired."""
    query = select(func.count()).where(
        LoginSession.expires_at > now, LoginSession.ended_at.is_(None)
    )
    return session.scalar(query) or 0


def count_tenants_by_personal(session: Session) -> Mapping[bool, int]:
    """Return the number of personal (True) and shared (False) tenants."""
    query = (
        select(Tenant.personal, func.count())
        .where(Tenant.deleted_at.is_(None))
        .group_by(Tenant.personal)
    )
    return dict(session.execute(query).tuples().all())


def count_valid_api_keys(session: Session, now: datetime) -> int:
    """Return the number of keys that are neither deleted nor expired."""
    is_valid = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now)
    return session.scalar(select(func.count()).where(ApiKey.deleted_at.is_(None), is_valid)) or 0


def count_users_by_day(session: Session, period: Period) -> Mapping[date, int]:
    """Return the number of accounts created per day, including deleted ones."""
    day = utc_day(User.created_at)
    query = select(day, func.count()).where(
        User.created_at >= period.start, User.created_at < period.end
    )
    return _parse_dates(session.execute(query.group_by(day)).tuples().all())


def count_sign_ins_by_day(session: Session, period: Period) -> Mapping[date, int]:
    """Return the number of successful sign-ins per day."""
    day = utc_day(AuditRecord.at)
    query = select(day, func.count()).where(
        AuditRecord.action == "session.login",
        AuditRecord.outcome == "success",
        AuditRecord.at >= period.start,
        AuditRecord.at < period.end,
    )
    return _parse_dates(session.execute(query.group_by(day)).tuples().all())


def count_sign_ins_of_user(session: Session, user_id: str, period: Period) -> Mapping[date, int]:
    """Return the number of a user's successful sign-ins per day."""
    day = utc_day(AuditRecord.at)
    query = select(day, func.count()).where(
        AuditRecord.actor_id == user_id,
        AuditRecord.action == "session.login",
        AuditRecord.outcome == "success",
        AuditRecord.at >= period.start,
        AuditRecord.at < period.end,
    )
    return _parse_dates(session.execute(query.group_by(day)).tuples().all())


def get_last_activity(session: Session, user_id: str) -> datetime | None:
    """Return when a user last used a session or an API key, or None."""
    used = (
        session.scalar(select(func.max(table.last_used_at)).where(table.user_id == user_id))
        for table in (LoginSession, ApiKey)
    )
    return max((time for time in used if time is not None), default=None)


def _parse_dates(rows: Sequence[tuple[str, int]]) -> Mapping[date, int]:
    return {date.fromisoformat(day): query for day, query in rows}
