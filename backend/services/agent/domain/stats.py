"""How much is talked about and what that took of the models, now and by day."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from backend.chassis.daily_counts import Period, StatsQuery
from backend.chassis.database.sessions import Database, Session
from backend.services.agent.store import stats as store
from backend.services.agent.store.stats import Spent
from backend.services.agent.store.tables import Conversation, Message


@dataclass(frozen=True, slots=True)
class Day:
    date: date
    conversations: int
    messages: int
    models: Mapping[str, Spent]

    @property
    def spent(self) -> Spent:
        return sum(self.models.values(), Spent())


@dataclass(frozen=True, slots=True)
class Counts:
    conversations: int
    messages: int
    spent: Spent
    days: Sequence[Day]


class Stats:
    """Counts across all tenants: *database* must show the rows of every one."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def of(self, asked: StatsQuery) -> Counts:
        period = asked.period(self._now())
        with self._database.read() as session:
            return Counts(
                conversations=store.count(session, Conversation),
                messages=store.count(session, Message),
                spent=store.spent(session),
                days=_days(session, period),
            )


def _days(session: Session, period: Period) -> list[Day]:
    begun = store.by_day(session, Conversation, period)
    said = store.by_day(session, Message, period)
    spent: dict[date, dict[str, Spent]] = {}
    for day, model, tokens in store.spent_by_day(session, period):
        spent.setdefault(day, {})[model] = tokens
    return [
        Day(each, begun.get(each, 0), said.get(each, 0), spent.get(each, {})) for each in period
    ]
