"""Accounts in numbers, for administrators."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date

from flask import Blueprint
from pydantic import BaseModel

from backend.chassis.daily_counts import StatsQuery
from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import answers
from backend.security import Permission, require_permission, validate_query
from backend.services.auth.domain.stats import Counts, Stats

stats = Blueprint("stats", __name__)


class UserCounts(BaseModel):
    """Accounts that are not deleted; active is who used a session or a key since."""

    total: int
    disabled: int
    active_24h: int
    active_7d: int
    active_30d: int


class SessionCounts(BaseModel):
    """Sign-ins that have neither ended nor expired."""

    active: int


class TenantCounts(BaseModel):
    """`personal` are those of one user alone."""

    total: int
    personal: int


class ApiKeyCounts(BaseModel):
    """Keys that have neither been deleted nor expired."""

    active: int


class DayCounts(BaseModel):
    """Accounts that were opened on one day (UTC), and sessions that were begun."""

    date: date
    users: int
    sign_ins: int


class AccountCounts(BaseModel):
    """Everything that auth keeps, all tenants together."""

    users: UserCounts
    sessions: SessionCounts
    tenants: TenantCounts
    api_keys: ApiKeyCounts
    days: Sequence[DayCounts]


@stats.get("/stats")
@require_permission(Permission.SYSTEM_READ)
@validate_query(StatsQuery)
@answers(AccountCounts)
def whole(query: StatsQuery) -> AccountCounts:
    """Users, sessions, tenants and API keys: now, and what came by day."""
    return _shown(use(Stats).of(query))


def _shown(counts: Counts) -> AccountCounts:
    day, week, month = counts.active
    return AccountCounts(
        users=UserCounts(
            total=counts.users,
            disabled=counts.disabled,
            active_24h=day,
            active_7d=week,
            active_30d=month,
        ),
        sessions=SessionCounts(active=counts.sessions),
        tenants=TenantCounts(total=counts.tenants, personal=counts.personal_tenants),
        api_keys=ApiKeyCounts(active=counts.api_keys),
        days=[DayCounts(**asdict(each)) for each in counts.days],
    )
