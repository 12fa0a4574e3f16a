"""Gauges of active users and conversations."""

from datetime import UTC, datetime, timedelta

from backend.chassis.database.sessions import open_database
from backend.services.agent.app import create_app
from backend.services.agent.domain.activity import read_activity
from tests.metrics import wait_for_metrics
from tests.services.agent.fakes import WordEmbedder, post_query


class Clock:
    def __init__(self):
        self.time = datetime(2026, 5, 4, 22, 50, tzinfo=UTC)

    def __call__(self):
        return self.time


def read_gauges(settings, clock) -> dict[tuple[str, str], float]:
    """Return the values by name and window."""
    database = open_database(settings.database_url, "agent").across_tenants()
    return {
        (sample.name, sample.labels.get("window", "")): sample.value
        for family in read_activity(database, clock.time)
        for sample in family.samples
    }


def test_active_users_and_conversations_are_counted_by_window(settings, identities):
    clock = Clock()
    app = create_app(settings, embedder=WordEmbedder(), now=clock)
    client = identities.trust(app).test_client()
    ada, bob = identities.bearer("user-ada"), identities.bearer("user-bob")
    post_query(client, ada, "What is 6 * 7?")
    clock.time += timedelta(minutes=30)
    first = post_query(client, bob, "What is 6 * 7?").json
    post_query(client, bob, "What is 6 * 8?", session_id=first["session_id"])
    post_query(client, bob, "What is 6 * 9?")

    at_once = read_gauges(settings, clock)
    clock.time += timedelta(minutes=61)
    next_day = read_gauges(settings, clock)

    assert at_once == {
        ("agent_active_users", "5m"): 1,
        ("agent_active_users", "1h"): 2,
        ("agent_active_users", "day"): 2,
        ("agent_active_conversations", "5m"): 2,
        ("agent_active_conversations", "1h"): 3,
        ("agent_conversations", ""): 3,
    }
    assert next_day == {
        ("agent_active_users", "5m"): 0,
        ("agent_active_users", "1h"): 0,
        ("agent_active_users", "day"): 0,
        ("agent_active_conversations", "5m"): 0,
        ("agent_active_conversations", "1h"): 0,
        ("agent_conversations", ""): 3,
    }


def test_metrics_page_has_the_gauges_without_labels_of_users(client, ada):
    post_query(client, ada, "What is 6 * 7?")

    page = wait_for_metrics(
        client, 'agent_active_users{window="5m"} 1.0', "agent_conversations 1.0"
    )

    assert "user-ada" not in page
