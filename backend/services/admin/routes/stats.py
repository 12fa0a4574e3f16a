"""Route for the statistics of the whole system."""

from flask import Blueprint

from backend.chassis.daily_counts import StatsQuery
from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import responds_with
from backend.security import Permission, caller_headers, require_permission, validate_query
from backend.services.admin.domain.stats import StatsResponse, StatsService
from backend.services.admin.errors import StatsUnavailable

stats_routes = Blueprint("stats", __name__)


@stats_routes.get("/stats")
@require_permission(Permission.SYSTEM_READ)
@validate_query(StatsQuery)
@responds_with(StatsResponse, errors=(StatsUnavailable,))
def get_stats(query: StatsQuery) -> StatsResponse:
    """Get users, sessions, documents, tokens, requests and errors, in total and by day (UTC)."""
    return use(StatsService).get_stats(query, caller_headers())
