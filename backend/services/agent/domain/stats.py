"""Numbers of conversations, messages and tokens: in total and by day."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from backend.chassis.daily_counts import Period, StatsQuery
from backend.chassis.database.sessions import Database, Session
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
