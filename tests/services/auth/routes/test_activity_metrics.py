"""Gauges of active users and sessions."""

from tests.metrics import wait_for_metrics
from tests.services.auth.api_user import PASSWORD


def test_active_users_and_sessions_are_gauges_without_user_names(client, ada):
    client.post("/login", json={"username": "ada", "password": PASSWORD})

    page = wait_for_metrics(client, "auth_active_sessions ")

    values = dict(
        line.rsplit(" ", 1) for line in page.splitlines() if line.startswith("auth_active_")
    )
    assert values == {
        'auth_active_users{window="15m"}': "1.0",
        'auth_active_users{window="1d"}': "1.0",
        'auth_active_users{window="7d"}': "1.0",
        'auth_active_users{window="30d"}': "1.0",
        "auth_active_sessions": "2.0",
    }
