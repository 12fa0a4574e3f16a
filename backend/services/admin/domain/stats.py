"""Merge the statistics of all services. A count that is unavailable is null, never zero."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeVar

from pydantic import BaseModel

from backend.chassis.daily_counts import Period, StatsQuery
from backend.services.admin.clients.service_stats import (
    AgentStats,
    ApiKeys,
    AuthStats,
    Documents,
    GatewayStats,
    RagStats,
    Requests,
    Sessions,
    StatsSource,
    Tenants,
    Tokens,
    Users,
)
from backend.services.admin.errors import StatsUnavailable

N = TypeVar("N", Requests, Tokens)


class Totals(BaseModel):
    """Current totals. Requests and errors are those of the requested days."""

    users: Users | None = None
    sessions: Sessions | None = None
    tenants: Tenants | None = None
    api_keys: ApiKeys | None = None
    collections: int | None = None
    documents: Documents | None = None
    chunks: int | None = None
    bytes: int | None = None
    conversations: int | None = None
    messages: int | None = None
    tokens: Tokens | None = None
    requests: int | None = None
    client_errors: int | None = None
    limited: int | None = None
    errors: int | None = None


class Day(BaseModel):
    """Counts of one day (UTC): new users, sign-ins, new documents and their bytes, and others."""

    date: date
    requests: int | None = None
    client_errors: int | None = None
    limited: int | None = None
    errors: int | None = None
    services: Mapping[str, Requests] | None = None
    users: int | None = None
    sign_ins: int | None = None
    documents: int | None = None
    bytes: int | None = None
    conversations: int | None = None
    messages: int | None = None
    tokens: Tokens | None = None
    models: Mapping[str, Tokens] | None = None


class StatsResponse(BaseModel):
    """Statistics of the whole system: seven main figures, then details and counts by day.

    `limited` counts responses with status 429, `client_errors` any other 4xx, `errors` 5xx.
    `unavailable` lists the services that did not respond; their counts are null.
    """

    generated_at: datetime
    since: date
    until: date
    unavailable: Sequence[str]
    users: int | None
    sessions: int | None
    documents: int | None
    chunks: int | None
    tokens: int | None
    requests: int | None
    errors: int | None
    totals: Totals
    services: Mapping[str, Requests] | None
    models: Mapping[str, Tokens] | None
    days: Sequence[Day]


@dataclass(frozen=True, slots=True)
class _ServiceStats:
    auth: AuthStats | None
    agent: AgentStats | None
    rag: RagStats | None
    gateway: GatewayStats | None


class StatsService:
    """Requests the statistics of all services from *source* concurrently and merges them."""

    def __init__(self, source: StatsSource, now: Callable[[], datetime]) -> None:
        self._source = source
        self._now = now

    def get_stats(self, query: StatsQuery, caller_headers: Mapping[str, str]) -> StatsResponse:
        """Return the statistics for the days of *query*.

        Args:
            query: the requested days.
            caller_headers: headers that authenticate the caller; each service checks them.

        Raises:
            StatsUnavailable: no service returned statistics.
        """
        source, now = self._source, self._now()
        period = query.get_period(now)
        with ThreadPoolExecutor(4, "stats") as executor:
            auth = executor.submit(source.get_auth_stats, period, caller_headers)
            agent = executor.submit(source.get_agent_stats, period, caller_headers)
            rag = executor.submit(source.get_rag_stats, period, caller_headers)
            gateway = executor.submit(source.get_gateway_stats, period, caller_headers)
        stats = _ServiceStats(auth.result(), agent.result(), rag.result(), gateway.result())
        unavailable = _list_unavailable(stats)
        if len(unavailable) == 4:
            raise StatsUnavailable
        totals = _build_totals(stats)
        return StatsResponse(
            generated_at=now,
            since=period.first,
            until=period.last,
            unavailable=unavailable,
            users=None if totals.users is None else totals.users.total,
            sessions=None if totals.sessions is None else totals.sessions.active,
            documents=None if totals.documents is None else totals.documents.total,
            chunks=totals.chunks,
            tokens=None if totals.tokens is None else totals.tokens.total,
            requests=totals.requests,
            errors=totals.errors,
            totals=totals,
            services=_sum_requests_by_service(stats.gateway),
            models=_sum_tokens_by_model(stats.agent),
            days=list(_build_days(period, stats)),
        )


def _list_unavailable(stats: _ServiceStats) -> list[str]:
    by_service = {
        "auth": stats.auth,
        "agent": stats.agent,
        "rag": stats.rag,
        "gateway": stats.gateway,
    }
    return [name for name, service_stats in by_service.items() if service_stats is None]


def _build_totals(stats: _ServiceStats) -> Totals:
    requests = None if stats.gateway is None else _sum(Requests, stats.gateway.days)
    return Totals(**_merge_fields(stats.auth, stats.agent, stats.rag, requests))


def _build_days(period: Period, stats: _ServiceStats) -> Iterator[Day]:
    services: tuple[AuthStats | AgentStats | RagStats | GatewayStats | None, ...]
    services = (stats.auth, stats.agent, stats.rag, stats.gateway)
    days_by_date = [
        {day.date: day for day in service.days} for service in services if service is not None
    ]
    for date_ in period:
        fields = _merge_fields(*(days.get(date_) for days in days_by_date))
        yield Day(**fields | {"date": date_})


def _merge_fields(*parts: BaseModel | None) -> dict[str, Any]:
    """Return all fields of *parts* except `days`. The merged models have the same field names."""
    return {
        name: value for part in parts if part is not None for name, value in part if name != "days"
    }


def _sum_requests_by_service(gateway: GatewayStats | None) -> Mapping[str, Requests] | None:
    if gateway is None:
        return None
    return _sum_by_name(Requests, (day.services for day in gateway.days))


def _sum_tokens_by_model(agent: AgentStats | None) -> Mapping[str, Tokens] | None:
    if agent is None:
        return None
    return _sum_by_name(Tokens, (day.models for day in agent.days))


def _sum_by_name(model: type[N], days: Iterable[Mapping[str, N]]) -> dict[str, N]:
    """Return the sum over all *days* for each name, sorted by name."""
    counts_by_name: dict[str, list[N]] = {}
    for day in days:
        for name, counts in day.items():
            counts_by_name.setdefault(name, []).append(counts)
    return {name: _sum(model, counts_by_name[name]) for name in sorted(counts_by_name)}


def _sum(model: type[N], parts: Sequence[N]) -> N:
    return model(
        **{name: sum(getattr(part, name) for part in parts) for name in model.model_fields}
    )
