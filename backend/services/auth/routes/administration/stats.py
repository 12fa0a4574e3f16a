"""Route of the auth statistics."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, datetime

from flask import Blueprint
from pydantic import BaseModel

from backend.chassis.daily_counts import StatsQuery
from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import responds_with
from backend.security import (
    Permission,
    authenticated,
    current_principal,
    require_permission,
    validate_query,
)
from backend.services.auth.domain.administration.users import UserService
from backend.services.auth.domain.stats import AuthStats, StatsService
from backend.services.auth.errors import ResourceNotFound

stats = Blueprint("stats", __name__)


class UserCounts(BaseModel):
    """Accounts that are not deleted. Active users used a session or an API key in the period."""

    total: int
    disabled: int
    active_24h: int
    active_7d: int
    active_30d: int


class SessionCounts(BaseModel):
    """Sessions that have neither ended nor expired."""

    active: int


class TenantCounts(BaseModel):
    """All tenants, and the personal ones among them."""

    total: int
    personal: int


class ApiKeyCounts(BaseModel):
    """API keys that are neither deleted nor expired."""

    active: int


class DailyCountsResponse(BaseModel):
    """Accounts created and sign-ins on one day (UTC)."""

    date: date
    users: int
    sign_ins: int


class AuthStatsResponse(BaseModel):
    """Statistics across all tenants."""

    users: UserCounts
    sessions: SessionCounts
    tenants: TenantCounts
    api_keys: ApiKeyCounts
    days: Sequence[DailyCountsResponse]


class UserDayResponse(BaseModel):
    """Sign-ins of a user on one day (UTC)."""

    date: date
    sign_ins: int


class UserStatsResponse(BaseModel):
    """Sign-ins of a user by day. Activity is the use of a session or of an API key."""

    last_activity_at: datetime | None
    days: Sequence[UserDayResponse]


@stats.get("/stats")
@require_permission(Permission.SYSTEM_READ)
@validate_query(StatsQuery)
@responds_with(AuthStatsResponse)
def get_stats(query: StatsQuery) -> AuthStatsResponse:
    """Get statistics of users, sessions, tenants and API keys: totals and counts per day."""
    return _to_response(use(StatsService).get_stats(query))


@stats.get("/users/<user_id>/stats")
@require_permission(Permission.USERS_READ)
@validate_query(StatsQuery)
@responds_with(UserStatsResponse, errors=(ResourceNotFound,))
def get_user_stats(query: StatsQuery, user_id: str) -> UserStatsResponse:
    """Get the sign-ins of a user by day, and the time of the last activity."""
    user = use(UserService).get_user(current_principal(), user_id)
    return _get_user_stats(user.account.id, query)


@stats.get("/me/stats")
@authenticated
@validate_query(StatsQuery)
@responds_with(UserStatsResponse)
def get_own_stats(query: StatsQuery) -> UserStatsResponse:
    """Get the caller's sign-ins by day, and the time of the last activity."""
    return _get_user_stats(current_principal().user_id, query)


def _get_user_stats(user_id: str, query: StatsQuery) -> UserStatsResponse:
    user_stats = use(StatsService).get_user_stats(user_id, query)
    return UserStatsResponse(
        last_activity_at=user_stats.last_activity_at,
        days=[UserDayResponse(date=day, sign_ins=count) for day, count in user_stats.days],
    )


def _to_response(counts: AuthStats) -> AuthStatsResponse:
    active_24h, active_7d, active_30d = counts.active
    return AuthStatsResponse(
        users=UserCounts(
            total=counts.users,
            disabled=counts.disabled,
            active_24h=active_24h,
            active_7d=active_7d,
            active_30d=active_30d,
        ),
        sessions=SessionCounts(active=counts.sessions),
        tenants=TenantCounts(total=counts.tenants, personal=counts.personal_tenants),
        api_keys=ApiKeyCounts(active=counts.api_keys),
        days=[DailyCountsResponse(**asdict(day)) for day in counts.days],
    )
