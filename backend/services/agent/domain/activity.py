"""Gauges of active users and conversations, without labels of users or tenants."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric

from backend.chassis.database.sessions import Database
from backend.chassis.observability.polled_metrics import PolledCollector
from backend.services.agent.store import activity as store

_WINDOWS: Final = (("5m", timedelta(minutes=5)), ("1h", timedelta(hours=1)))
# Counting takes longer with more rows, so it is not done at every scrape.
_FRESH_SECONDS: Final = 30.0


def create_activity_collector(database: Database, now: Callable[[], datetime]) -> PolledCollector:
    """Return the collector of the gauges. *database* must bypass row-level security."""
    return PolledCollector(
        "users and conversations", lambda: read_activity(database, now()), _FRESH_SECONDS
    )


def read_activity(database: Database, now: datetime) -> Iterator[Metric]:
    """Yield the gauges of active users and conversations at *now*."""
    users = GaugeMetricFamily(
        "agent_active_users",
        "Distinct users with a request in a conversation in the window; with the window `day`, "
        "users whose runs used tokens on the current day (UTC).",
        labels=["window"],
    )
    active = GaugeMetricFamily(
        "agent_active_conversations",
        "Conversations with a request in the window.",
        labels=["window"],
    )
    with database.read() as session:
        for window, duration in _WINDOWS:
            user_count, conversation_count = store.count_active_since(session, now - duration)
            users.add_metric([window], user_count)
            active.add_metric([window], conversation_count)
        users.add_metric(["day"], store.count_users_of_day(session, now.astimezone(UTC).date()))
        total = store.count_conversations(session)
    yield users
    yield active
    yield GaugeMetricFamily("agent_conversations", "Stored conversations.", value=total)
