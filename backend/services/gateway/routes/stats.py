"""Request statistics by day and service, for administrators."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from functools import reduce
from operator import add

from flask import Blueprint
from pydantic import BaseModel

from backend.chassis.daily_counts import StatsQuery
from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import responds_with
from backend.security import Permission, require_permission, validate_query
from backend.services.gateway.domain.daily_traffic import DailyTraffic, OutcomeCounts
from backend.services.gateway.errors import CountsUnavailable

stats_routes = Blueprint("stats", __name__)


class RequestCounts(BaseModel):
    """Requests by outcome: `limited` is status 429, `client_errors` any other 4xx, `errors` 5xx."""

    requests: int
    client_errors: int
    limited: int
    errors: int


class DailyRequestCounts(RequestCounts):
    """Requests of one day (UTC), in total and by service."""

    date: date
    services: Mapping[str, RequestCounts]


class RequestStats(BaseModel):
    """Requests for services, whether they were forwarded or rejected by the gateway."""

    days: Sequence[DailyRequestCounts]


@stats_routes.get("/stats")
@require_permission(Permission.SYSTEM_READ)
@validate_query(StatsQuery)
@responds_with(RequestStats, errors=(CountsUnavailable,))
def get_request_stats(query: StatsQuery) -> RequestStats:
    """Get requests and errors by day and service, for up to 90 days."""
    period = query.get_period(datetime.now(UTC))
    try:
        outcomes = use(DailyTraffic).get_outcomes(period)
    except ConnectionError as error:
        raise CountsUnavailable(str(error)) from error
    return RequestStats(
        days=[_to_schema(day, services) for day, services in period.fill_gaps(outcomes, {})]
    )


def _to_schema(day: date, services: Mapping[str, OutcomeCounts]) -> DailyRequestCounts:
    return DailyRequestCounts(
        date=day,
        services={name: RequestCounts(**asdict(counts)) for name, counts in services.items()},
        **asdict(reduce(add, services.values(), OutcomeCounts())),
    )
