"""The numbers of the whole suite."""

from flask import Blueprint

from backend.chassis.daily_counts import StatsQuery
from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import answers
from backend.security import Permission, caller_headers, require_permission, validate_query
from backend.services.admin.domain.stats import Overview, Stats
from backend.services.admin.errors import NobodyAnswers

stats = Blueprint("stats", __name__)


@stats.get("/stats")
@require_permission(Permission.SYSTEM_READ)
@validate_query(StatsQuery)
@answers(Stats, errors=(NobodyAnswers,))
def whole(query: StatsQuery) -> Stats:
    """Users, sessions, documents, tokens, requests and errors: now, and by day (UTC)."""
    return use(Overview).of(query, caller_headers())
