"""Statistics of accounts, sessions, tenants and API keys, in total and per day."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from backend.chassis.daily_counts import StatsQuery
from backend.chassis.database.sessions import Database
from backend.services.auth.store import stats as store

_ACTIVITY_INTERVALS = (timedelta(hours=24), timedelta(days=7), timedelta(days=30))
# The shortest window is longer than an access token is valid by default: the use of a session is
# recorded when its access token is refreshed.
_ACTIVITY_WINDOWS: Mapping[str, timedelta] = {
    "15m": timedelta(minutes=15),
    "1d": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}


@dataclass(frozen=True, slots=True)
class DailyCounts:
    """Accounts created and sign-ins on one day (UTC)."""

    date: date
    users: int
    sign_ins: int


@dataclass(frozen=True, slots=True)
class AuthStats:
    """Statistics across all tenants.

    Attributes:
        active: users active in the last 24 hours, 7 days and 30 days.
    """

    users: int
    disabled: int
    active: tuple[int, int, int]
    sessions: int
    tenants: int
    personal_tenants: int
    api_keys: int
    days: Sequence[DailyCounts]


@dataclass(frozen=True, slots=True)
class UserStats:
    """Sign-ins of a user by day (UTC), and when it last used a session or an API key."""

    days: Sequence[tuple[date, int]]
    last_activity_at: datetime | None


class StatsService:
    """Compute statistics. *database* must have access to the rows of all tenants."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def get_stats(self, query: StatsQuery) -> AuthStats:
        """Return the current totals and the daily counts of the requested period."""
        now = self._now()
        period = query.get_period(now)
        with self._database.read() as session:
            users, disabled = store.count_users(session)
            active_24h, active_7d, active_30d = store.count_active_users(
                session, [now - interval for interval in _ACTIVITY_INTERVALS]
            )
            tenants = store.count_tenants_by_personal(session)
            registrations = store.count_users_by_day(session, period)
            sign_ins = store.count_sign_ins_by_day(session, period)
            return AuthStats(
                users=users,
                disabled=disabled,
                active=(active_24h, active_7d, active_30d),
                sessions=store.count_active_sessions(session, now),
                tenants=sum(tenants.values()),
                personal_tenants=tenants.get(True, 0),
                api_keys=store.count_valid_api_keys(session, now),
                days=[
                    DailyCounts(day_date, registrations.get(day_date, 0), sign_ins.get(day_date, 0))
                    for day_date in period
                ],
            )

    def count_activity(self) -> tuple[Mapping[str, int], int]:
        """Return the numbers of active users by window, and the number of active sessions."""
        now = self._now()
        with self._database.read() as session:
            counts = store.count_active_users(
                session, [now - duration for duration in _ACTIVITY_WINDOWS.values()]
            )
            sessions = store.count_active_sessions(session, now)
        return dict(zip(_ACTIVITY_WINDOWS, counts, strict=True)), sessions

    def get_user_stats(self, user_id: str, query: StatsQuery) -> UserStats:
        """Return the statistics of one user. The caller of this method checks the permission."""
        period = query.get_period(self._now())
        with self._database.read() as session:
            sign_ins = store.count_sign_ins_of_user(session, user_id, period)
            return UserStats(
                list(period.fill_gaps(sign_ins, 0)), store.get_last_activity(session, user_id)
            )
