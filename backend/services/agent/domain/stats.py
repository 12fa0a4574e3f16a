"""Numbers of conversations, messages and tokens: in total and by day."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from backend.chassis.daily_counts import Period, StatsQuery
from backend.chassis.database.sessions import Database, Session
from backend.services.agent.engine.token_prices import Prices, calculate_cost
from backend.services.agent.store import stats as store
from backend.services.agent.store.stats import TokenTotals
from backend.services.agent.store.tables import Conversation, Message


@dataclass(frozen=True, slots=True)
class DailyStats:
    date: date
    conversations: int
    messages: int
    models: Mapping[str, TokenTotals]

    @property
    def tokens(self) -> TokenTotals:
        return sum(self.models.values(), TokenTotals())


@dataclass(frozen=True, slots=True)
class AgentStats:
    conversations: int
    messages: int
    tokens: TokenTotals
    days: Sequence[DailyStats]


class StatsService:
    """Counts rows of all tenants. *database* must bypass row-level security."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def get_stats(self, query: StatsQuery) -> AgentStats:
        period = query.get_period(self._now())
        with self._database.read() as session:
            return AgentStats(
                conversations=store.count_rows(session, Conversation),
                messages=store.count_rows(session, Message),
                tokens=store.sum_tokens(session),
                days=_get_daily_stats(session, period),
            )


@dataclass(frozen=True, slots=True)
class UserDay:
    """Numbers of a user on one day (UTC). `cost` is None if a model has no price."""

    date: date
    conversations: int
    questions: int
    tokens: TokenTotals
    cost: float | None


@dataclass(frozen=True, slots=True)
class UserStats:
    """Numbers of a user in one tenant by day."""

    days: Sequence[UserDay]
    last_activity_at: datetime | None


class UserStatsService:
    """Counts what a user did in a tenant.

    Args:
        prices: price of a million prompt tokens and of a million completion tokens, by model.
    """

    def __init__(
        self,
        database: Database,
        prices: Prices,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._prices = prices
        self._now = now

    def get_stats(self, tenant_id: str, user_id: str, query: StatsQuery) -> UserStats:
        period = query.get_period(self._now())
        with self._database.read(tenant_id) as session:
            conversations = store.count_user_rows_by_day(
                session, Conversation, tenant_id, user_id, period
            )
            questions = store.count_user_rows_by_day(session, Message, tenant_id, user_id, period)
            tokens: dict[date, dict[str, TokenTotals]] = {}
            for day, model, totals in store.list_user_tokens(session, tenant_id, user_id, period):
                tokens.setdefault(day, {})[model] = totals
            last_activity_at = store.get_last_activity(session, tenant_id, user_id)
        return UserStats(
            [
                UserDay(
                    day,
                    conversations.get(day, 0),
                    questions.get(day, 0),
                    sum(tokens.get(day, {}).values(), TokenTotals()),
                    self._get_cost(tokens.get(day, {})),
                )
                for day in period
            ],
            last_activity_at,
        )

    def _get_cost(self, models: Mapping[str, TokenTotals]) -> float | None:
        total = 0.0
        for model, tokens in models.items():
            cost = calculate_cost(self._prices, model, *tokens)
            if cost is None:
                return None
            total += cost
        return round(total, 6)


def _get_daily_stats(session: Session, period: Period) -> list[DailyStats]:
    conversation_counts = store.count_rows_by_day(session, Conversation, period)
    message_counts = store.count_rows_by_day(session, Message, period)
    tokens_by_day: dict[date, dict[str, TokenTotals]] = {}
    for day, model, tokens in store.sum_tokens_by_day(session, period):
        tokens_by_day.setdefault(day, {})[model] = tokens
    return [
        DailyStats(
            day,
            conversation_counts.get(day, 0),
            message_counts.get(day, 0),
            tokens_by_day.get(day, {}),
        )
        for day in period
    ]
