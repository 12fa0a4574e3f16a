"""How many there are of everything, all tenants together."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from sqlalchemy import func, or_, select, union_all
from sqlalchemy.orm import Session

from backend.chassis.daily_counts import Period
from backend.chassis.database.sessions import utc_day
from backend.services.auth.store.accounts import User
from backend.services.auth.store.api_keys import ApiKey
from backend.services.auth.store.audit import AuditRecord
from backend.services.auth.store.sessions import LoginSession
from backend.services.auth.store.tenants import Tenant


def users(session: Session) -> tuple[int, int]:
    """How many accounts there are, and how many of them are disabled."""
    counted = select(func.count(), func.count(User.disabled_at)).where(User.deleted_at.is_(None))
    total, disabled = session.execute(counted).one()
    return total, disabled


def active_users(session: Session, moments: Sequence[datetime]) -> Sequence[int]:
    """How many did something since each of *moments*, by a session or a key.

    A session's token is renewed every few minutes while it is in use, so this is as exact.
    """
    earliest = min(moments)
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
    counts = (func.count().filter(last.c.at >= moment) for moment in moments)
    return session.execute(select(*counts)).one()


def sessions(session: Session, now: datetime) -> int:
    """How many are open."""
    counted = select(func.count()).where(
        LoginSession.expires_at > now, LoginSession.ended_at.is_(None)
    )
    return session.scalar(counted) or 0


def tenants(session: Session) -> Mapping[bool, int]:
    """How many there are, by whether they are personal."""
    counted = select(Tenant.personal, func.count()).group_by(Tenant.personal)
    return dict(session.execute(counted).tuples().all())


def api_keys(session: Session, now: datetime) -> int:
    """How many open something."""
    good = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now)
    return session.scalar(select(func.count()).where(ApiKey.deleted_at.is_(None), good)) or 0


def users_by_day(session: Session, period: Period) -> Mapping[date, int]:
    """How many accounts were opened, whatever has become of them."""
    day = utc_day(User.created_at)
    counted = select(day, func.count()).where(
        User.created_at >= period.begin, User.created_at < period.end
    )
    return _dated(session.execute(counted.group_by(day)).tuples().all())


def sign_ins_by_day(session: Session, period: Period) -> Mapping[date, int]:
    """How many sessions were begun."""
    day = utc_day(AuditRecord.at)
    counted = select(day, func.count()).where(
        AuditRecord.action == "session.login",
        AuditRecord.outcome == "success",
        AuditRecord.at >= period.begin,
        AuditRecord.at < period.end,
    )
    return _dated(session.execute(counted.group_by(day)).tuples().all())


def _dated(rows: Sequence[tuple[str, int]]) -> Mapping[date, int]:
    return {date.fromisoformat(day): counted for day, counted in rows}
