"""One overview out of what every service counts; what nobody tells is null, never zero."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeVar

from pydantic import BaseModel

from backend.chassis.daily_counts import Period, StatsQuery
from backend.services.admin.clients.counts import (
    Accounts,
    Answers,
    ApiKeys,
    Counting,
    Documents,
    Library,
    Requests,
    Sessions,
    Tenants,
    Tokens,
    Traffic,
    Users,
)
from backend.services.admin.errors import NobodyAnswers

N = TypeVar("N", Requests, Tokens)


class Totals(BaseModel):
    """How things stand now; requests and errors are those of the days that were asked for."""

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
    """What came on one day (UTC): new users, sign-ins, new documents and their bytes, and so on."""

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


class Stats(BaseModel):
    """The whole suite in numbers: seven at first sight, then what they are made of.

    `limited` counts answers with status 429, `client_errors` with any other 4xx, `errors`
    with 5xx. `unavailable` names the services that told nothing: what they count is null.
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
class _Told:
    accounts: Accounts | None
    answers: Answers | None
    library: Library | None
    traffic: Traffic | None


class Overview:
    """Asks all services at once; the slowest decides how long it takes."""

    def __init__(self, counting: Counting, now: Callable[[], datetime]) -> None:
        self._counting = counting
        self._now = now

    def of(self, asked: StatsQuery, caller: Mapping[str, str]) -> Stats:
        """The numbers that are *asked* for, as far as *caller*, by these headers, may see them."""
        counting, now = self._counting, self._now()
        period = asked.period(now)
        with ThreadPoolExecutor(4, "counts") as asking:
            accounts = asking.submit(counting.accounts, period, caller)
            answers = asking.submit(counting.answers, period, caller)
            library = asking.submit(counting.library, period, caller)
            traffic = asking.submit(counting.traffic, period, caller)
        told = _Told(accounts.result(), answers.result(), library.result(), traffic.result())
        silent = _silent(told)
        if len(silent) == 4:
            raise NobodyAnswers
        totals = _totals(told)
        return Stats(
            generated_at=now,
            since=period.first,
            until=period.last,
            unavailable=silent,
            users=None if totals.users is None else totals.users.total,
            sessions=None if totals.sessions is None else totals.sessions.active,
            documents=None if totals.documents is None else totals.documents.total,
            chunks=totals.chunks,
            tokens=None if totals.tokens is None else totals.tokens.total,
            requests=totals.requests,
            errors=totals.errors,
            totals=totals,
            services=_services(told.traffic),
            models=_models(told.answers),
            days=list(_days(period, told)),
        )


def _silent(told: _Told) -> list[str]:
    parts = {
        "auth": told.accounts,
        "agent": told.answers,
        "rag": told.library,
        "gateway": told.traffic,
    }
    return [name for name, part in parts.items() if part is None]


def _totals(told: _Told) -> Totals:
    requests = None if told.traffic is None else _sum(Requests, told.traffic.days)
    return Totals(**_fields(told.accounts, told.answers, told.library, requests))


def _days(period: Period, told: _Told) -> Iterator[Day]:
    parts: tuple[Accounts | Answers | Library | Traffic | None, ...]
    parts = (told.accounts, told.answers, told.library, told.traffic)
    by_date = [{day.date: day for day in part.days} for part in parts if part is not None]
    for each in period:
        fields = _fields(*(days.get(each) for days in by_date))
        yield Day(**fields | {"date": each})


def _fields(*parts: BaseModel | None) -> dict[str, Any]:
    """All that *parts* say, by name; what a part calls like the whole means the same there."""
    return {
        name: value for part in parts if part is not None for name, value in part if name != "days"
    }


def _services(traffic: Traffic | None) -> Mapping[str, Requests] | None:
    return None if traffic is None else _by_name(Requests, (day.services for day in traffic.days))


def _models(answers: Answers | None) -> Mapping[str, Tokens] | None:
    return None if answers is None else _by_name(Tokens, (day.models for day in answers.days))


def _by_name(shape: type[N], days: Iterable[Mapping[str, N]]) -> dict[str, N]:
    """The sums of all *days* for each name, the names in order."""
    found: dict[str, list[N]] = {}
    for day in days:
        for name, counts in day.items():
            found.setdefault(name, []).append(counts)
    return {name: _sum(shape, found[name]) for name in sorted(found)}


def _sum(shape: type[N], parts: Sequence[N]) -> N:
    return shape(**{name: sum(getattr(p, name) for p in parts) for name in shape.model_fields})
