"""Requests in numbers, for administrators."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from functools import reduce
from operator import add

from flask import Blueprint
from pydantic import BaseModel

from backend.chassis.daily_counts import StatsQuery
from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import answers
from backend.security import Permission, require_permission, validate_query
from backend.services.gateway.domain.traffic import Outcomes, Traffic
from backend.services.gateway.errors import CountsUnavailable

stats = Blueprint("stats", __name__)


class RequestCounts(BaseModel):
    """`limited` ended with status 429, `client_errors` with any other 4xx, `errors` with 5xx."""

    requests: int
    client_errors: int
    limited: int
    errors: int


class DayCounts(RequestCounts):
    """The requests of one day (UTC), all together and by service."""

    date: date
    services: Mapping[str, RequestCounts]


class TrafficCounts(BaseModel):
    """What was forwarded to services, or refused on its way there."""

    days: Sequence[DayCounts]


@stats.get("/stats")
@require_permission(Permission.SYSTEM_READ)
@validate_query(StatsQuery)
@answers(TrafficCounts, errors=(CountsUnavailable,))
def by_day(query: StatsQuery) -> TrafficCounts:
    """Requests and errors by day and service, as far back as 90 days."""
    period = query.period(datetime.now(UTC))
    try:
        counted = use(Traffic).of(period)
    except ConnectionError as error:
        raise CountsUnavailable(str(error)) from error
    return TrafficCounts(
        days=[_day(each, services) for each, services in period.without_holes(counted, {})]
    )


def _day(day: date, services: Mapping[str, Outcomes]) -> DayCounts:
    return DayCounts(
        date=day,
        services={name: RequestCounts(**asdict(each)) for name, each in services.items()},
        **asdict(reduce(add, services.values(), Outcomes())),
    )
