"""Statistics of a tenant's conversations and messages: now, and by day and channel."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final

from backend.chassis.daily_counts import Period, StatsQuery
from backend.chassis.database.sessions import Database
from backend.services.chat.clients.metrics import TenantValues
from backend.services.chat.domain.access import Caller
from backend.services.chat.domain.daily_stats import list_current_stats
from backend.services.chat.store import accounts, messages
from backend.services.chat.store import conversations as store
from backend.services.chat.store.daily_stats import (
    ALL_ACCOUNTS,
    count_active_users,
    count_user_days,
    get_last_message_time,
    list_totals_of_day,
)
from backend.services.chat.store.duration_counts import DurationCounts
from backend.services.chat.store.tables import DailyStats

_LAST_DAY: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class ResponseTimes:
    """Number of answers, and quantiles of their response times in seconds."""

    count: int
    median_seconds: float | None
    p95_seconds: float | None

    @classmethod
    def from_counts(cls, counts: DurationCounts) -> "ResponseTimes":
        return cls(counts.total, counts.get_quantile(0.5), counts.get_quantile(0.95))


@dataclass(frozen=True, slots=True)
class Figures:
    """Statistics of a day, a channel, or a period. Columns as in `DailyStats`."""

    active_users: int
    conversations_opened: int
    conversations_closed: int
    conversations_completed: int
    completion_rate: float | None
    handovers: int
    first_response: ResponseTimes
    response: ResponseTimes
    messages_in: int
    messages_out: int
    answers: int
    failed: int

    @classmethod
    def from_rows(cls, rows: Sequence[DailyStats], active_users: int | None = None) -> "Figures":
        """Return the sum of *rows*.

        Args:
            active_users: their number if it is not the sum, because the rows share users.
        """
        response, first_response = DurationCounts(), DurationCounts()
        for row in rows:
            response.add_counts(row.response_times)
            first_response.add_counts(row.first_response_times)
        opened = sum(row.conversations for row in rows)
        completed = sum(row.completed for row in rows)
        if active_users is None:
            active_users = sum(row.active_users for row in rows)
        return cls(
            active_users=active_users,
            conversations_opened=opened,
            conversations_closed=sum(row.closed for row in rows),
            conversations_completed=completed,
            completion_rate=round(completed / opened, 4) if opened else None,
            handovers=sum(row.handovers for row in rows),
            first_response=ResponseTimes.from_counts(first_response),
            response=ResponseTimes.from_counts(response),
            messages_in=sum(row.inbound for row in rows),
            messages_out=sum(row.outbound for row in rows),
            answers=sum(row.answers for row in rows),
            failed=sum(row.failures for row in rows),
        )


@dataclass(frozen=True, slots=True)
class DayFigures:
    """Statistics of one day, of all channels and of each channel."""

    date: date
    figures: Figures
    channels: Mapping[str, Figures]


@dataclass(frozen=True, slots=True)
class ChatStats:
    """Statistics of a tenant: numbers of now and of the last 24 hours, and those of a period."""

    conversations: Mapping[str, int]
    messages_24h: Mapping[str, int]
    failed_24h: int
    waiting_answers: int
    period: Period
    totals: Figures
    channels: Mapping[str, Figures]
    days: Sequence[DayFigures] = field(default_factory=tuple)


class StatsService:
    """Counts conversations and messages of a tenant."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def get_stats(self, caller: Caller, query: StatsQuery, channel: str | None = None) -> ChatStats:
        """Return the statistics of the caller's tenant.

        Args:
            query: the days of the figures.
            channel: the figures are those of this channel; None for all channels.
        """
        now, tenant_id = self._now(), caller.tenant_id
        period = query.get_period(now)
        with self._database.read(tenant_id) as session:
            counts = messages.count_messages(session, tenant_id, now - _LAST_DAY)
            rows = list_current_stats(session, tenant_id, period, now)
            if channel is not None:
                rows = [row for row in rows if row.channel == channel]
            parts = [row for row in rows if row.account_id != ALL_ACCOUNTS]
            active = count_active_users(session, tenant_id, period, channel)
            return ChatStats(
                conversations=accounts.count_conversations(session, tenant_id),
                messages_24h=_sum_by_direction(counts),
                failed_24h=sum(n for (_, state), n in counts.items() if state == "failed"),
                waiting_answers=store.count_due(session, tenant_id),
                period=period,
                totals=Figures.from_rows(parts, active[ALL_ACCOUNTS]),
                channels={
                    name: Figures.from_rows(part, active.get(name, 0))
                    for name, part in _group_by_channel(parts).items()
                },
                days=_group_by_day(period, rows),
            )


@dataclass(frozen=True, slots=True)
class UserDay:
    """Conversations that a user opened and messages that it wrote on one day (UTC)."""

    date: date
    conversations: int
    messages: int


@dataclass(frozen=True, slots=True)
class UserStats:
    """Numbers of a user in one tenant by day."""

    days: Sequence[UserDay]
    last_activity_at: datetime | None


class UserStatsService:
    """Counts what a user wrote in a tenant."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def get_stats(self, tenant_id: str, user_id: str, query: StatsQuery) -> UserStats:
        period = query.get_period(self._now())
        with self._database.read(tenant_id) as session:
            counts = count_user_days(session, tenant_id, user_id, period)
            last_activity_at = get_last_message_time(session, tenant_id, user_id)
        days = [UserDay(day, *counts.get(day.isoformat(), (0, 0))) for day in period]
        return UserStats(days, last_activity_at)


class TenantStats:
    """Values of the current day by tenant, as the worker has counted them.

    Args:
        database: must bypass row-level security.
        max_tenants: number of tenants with values of their own, those with most messages.
    """

    def __init__(self, database: Database, now: Callable[[], datetime], max_tenants: int) -> None:
        self._database = database
        self._now = now
        self._max_tenants = max_tenants

    def get_values(self) -> dict[str, TenantValues]:
        """Return the values by tenant. Those of the remaining tenants are added up as `other`."""
        with self._database.read() as session:
            rows = list_totals_of_day(session, self._now().astimezone(UTC).date())
            values = {row.tenant_id: _to_values([row]) for row in rows[: self._max_tenants]}
            return values | {"other": _to_values(rows[self._max_tenants :])}


def _to_values(rows: Sequence[DailyStats]) -> TenantValues:
    figures = Figures.from_rows(rows)
    return TenantValues(
        active_users=figures.active_users,
        opened=figures.conversations_opened,
        closed=figures.conversations_closed,
        completed=figures.conversations_completed,
        handovers=figures.handovers,
        failed=figures.failed,
        messages={"inbound": figures.messages_in, "outbound": figures.messages_out},
        response_seconds=_to_quantiles(figures.response),
        first_response_seconds=_to_quantiles(figures.first_response),
    )


def _to_quantiles(times: ResponseTimes) -> dict[str, float]:
    values = {"0.5": times.median_seconds, "0.95": times.p95_seconds}
    return {quantile: seconds for quantile, seconds in values.items() if seconds is not None}


def _sum_by_direction(counts: Mapping[tuple[str, str], int]) -> dict[str, int]:
    by_direction: Counter[str] = Counter()
    for (direction, _), count in counts.items():
        by_direction[direction] += count
    return dict(by_direction)


def _group_by_channel(rows: Iterable[DailyStats]) -> dict[str, list[DailyStats]]:
    channels: dict[str, list[DailyStats]] = {}
    for row in rows:
        channels.setdefault(row.channel, []).append(row)
    return dict(sorted(channels.items()))


def _group_by_day(period: Period, rows: Iterable[DailyStats]) -> list[DayFigures]:
    days: dict[date, list[DailyStats]] = {day: [] for day in period}
    for row in rows:
        days[row.day].append(row)
    return [_build_day(day, day_rows) for day, day_rows in days.items()]


def _build_day(day: date, rows: Sequence[DailyStats]) -> DayFigures:
    parts = [row for row in rows if row.account_id != ALL_ACCOUNTS]
    # The users of all accounts are distinct, so that they are not the sum. A filter by channel has
    # removed that row.
    total = next((row for row in rows if row.account_id == ALL_ACCOUNTS), None)
    channels = {name: Figures.from_rows(part) for name, part in _group_by_channel(parts).items()}
    figures = Figures.from_rows(parts, total.active_users if total else None)
    return DayFigures(day, figures, channels)
