"""Routes for the statistics of one user."""

from flask import Blueprint

from backend.chassis.daily_counts import StatsQuery
from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import responds_with
from backend.security import (
    Permission,
    authenticated,
    caller_headers,
    require_permission,
    validate_query,
)
from backend.services.admin.domain.user_stats import UserStatsResponse, UserStatsService
from backend.services.admin.errors import StatsUnavailable, UserNotFound

user_stats_routes = Blueprint("user_stats", __name__)


@user_stats_routes.get("/users/<user_id>/stats")
@require_permission(Permission.USERS_READ)
@validate_query(StatsQuery)
@responds_with(UserStatsResponse, errors=(UserNotFound, StatsUnavailable))
def get_user_stats(query: StatsQuery, user_id: str) -> UserStatsResponse:
    """Get sign-ins, conversations, questions, tokens, cost and documents of a user by day."""
    return use(UserStatsService).get_stats(user_id, query, caller_headers())


@user_stats_routes.get("/me/stats")
@authenticated
@validate_query(StatsQuery)
@responds_with(UserStatsResponse, errors=(StatsUnavailable,))
def get_own_stats(query: StatsQuery) -> UserStatsResponse:
    """Get the caller's sign-ins, conversations, questions, tokens, cost and documents by day."""
    return use(UserStatsService).get_stats(None, query, caller_headers())
