"""How many accounts, sessions, tenants and keys there are, and what came on each day."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from backend.chassis.daily_counts import StatsQuery
from backend.chassis.database.sessions import Database
from backend.services.auth.store import stats as store

_LATELY = (timedelta(hours=24), timedelta(days=7), timedelta(days=30))


@dataclass(frozen=True, slots=True)
class Day:
    date: date
    users: int
    sign_ins: int


@dataclass(frozen=True, slots=True)
class Counts:
    """`active` are the users of the last 24 hours, 7 days and 30 days."""

    users: int
    disabled: int
    active: tuple[int, int, int]
    sessions: int
    tenants: int
    personal_tenants: int
    api_keys: int
    days: Sequence[Day]


class Stats:
    """Counts across all tenants: *database* must show the rows of every one."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def of(self, asked: StatsQuery) -> Counts:
        now = self._now()
        period = asked.period(now)
        with self._database.read() as session:
            users, disabled = store.users(session)
            day, week, month = store.active_users(session, [now - each for each in _LATELY])
            tenants = store.tenants(session)
            joined = store.users_by_day(session, period)
            came = store.sign_ins_by_day(session, period)
            return Counts(
                users=users,
                disabled=disabled,
                active=(day, week, month),
                sessions=store.sessions(session, now),
                tenants=sum(tenants.values()),
                personal_tenants=tenants.get(True, 0),
                api_keys=store.api_keys(session, now),
                days=[Day(each, joined.get(each, 0), came.get(each, 0)) for each in period],
            )
