"""Variables of docs/compatibility.md: what the settings contain with each, and unusable values."""

import os
import re
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from backend.chassis.settings import SettingsError, load_env
from backend.services.auth.settings import Settings as AuthSettings
from backend.services.chat.settings import Settings as ChatSettings
from backend.services.gateway.settings import Settings as GatewaySettings
from backend.services.realtime.settings import Settings as RealtimeSettings
from tests.architecture.test_compatibility import ROWS
from tests.architecture.test_services import documented_variables

VARIABLES = {row.typed: row.here for row in ROWS if row.kind == "variable"}
DATABASE = "postgresql+asyncpg://u:p@h/d"
# Variable, its value, the settings that read it, their attribute, and what it contains then.
VALUES = [
    ("POSTGRESQL_URI", DATABASE, ChatSettings, "database_url", "postgresql+pg8000://u:p@h/d"),
    ("DATABASE_URL", DATABASE, ChatSettings, "database_url", "postgresql+pg8000://u:p@h/d"),
    ("KAFKA_BROKERS", "a:9092,b", ChatSettings, "common.events_url", "kafka://a:9092,b"),
    ("PORT", "8001", ChatSettings, "common.port", 8001),
    ("LOG_LEVEL", "warning", ChatSettings, "common.log_level", "WARNING"),
    ("SESSION_TTL", "60", ChatSettings, "session_lifetime.seconds", 60),
    ("CONFIG_CACHE_TTL", "61", ChatSettings, "config_cache_lifetime.seconds", 61),
    ("RESPONSE_CACHE_TTL", "62", ChatSettings, "response_cache_lifetime.seconds", 62),
    ("REQUEST_TIMEOUT_MS", "5000", ChatSettings, "max_wait.seconds", 5),
    ("ADMIN_EMAIL", "root@example.org", AuthSettings, "admin_email", "root@example.org"),
    ("ADMIN_PASSWORD", "admin123", AuthSettings, "admin_password.reveal", "admin123"),
    ("MAX_CONNECTIONS_PER_USER", "3", RealtimeSettings, "connections.per_user", 3),
    ("MAX_CONNECTIONS_PER_TENANT", "30", RealtimeSettings, "connections.per_tenant", 30),
    ("MAX_CONNECTIONS_TOTAL", "300", RealtimeSettings, "connections.per_process", 300),
]
TESTED_BELOW = {"ENVIRONMENT", "FLASK_ENV", "MAX_CONNECTIONS_PER_IP", "DEFAULT_RATE_LIMIT"} | {
    "BURST_LIMIT",
    "LANGCHAIN_API_KEY",
}
# SERVICE in tests/operations/supervisor/test_entrypoint.py, the settings of Clerk in tests of auth.
TESTED_ELSEWHERE = {"SERVICE"} | {name for name in VARIABLES if "CLERK" in name}


@pytest.fixture
def load(tmp_path, monkeypatch) -> Iterator[Callable[..., Any]]:
    """Yield a function that loads settings as a process with the given variables does."""
    for name in (*documented_variables(), *VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))

    def load_settings(settings: Any, **variables: str) -> Any:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return settings.from_env(load_env(Path(tmp_path, "no.env")))

    before = os.environ.copy()
    yield load_settings
    # A process sets the variables that others map to.
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.parametrize(
    ("name", "value", "settings", "attribute", "expected"), VALUES, ids=lambda value: str(value)
)
def test_value_of_a_variable_reaches_the_settings(load, name, value, settings, attribute, expected):
    found = attrgetter(attribute)(load(settings, **{name: value}))

    assert (found() if callable(found) else found) == expected


@pytest.mark.parametrize("name", ["ENVIRONMENT", "FLASK_ENV"])
def test_environment_selects_the_rules_of_production(load, name):
    with pytest.raises(SettingsError, match="SECRET_KEY"):
        load(ChatSettings, **{name: "production"})


def test_limits_of_requests_and_connections_reach_the_routes(load):
    table = load(
        GatewaySettings, DEFAULT_RATE_LIMIT="50", BURST_LIMIT="75", MAX_CONNECTIONS_PER_IP="7"
    ).table
    (rule,) = (
        rule for rule in table.find_route("/chat/conversations")[0].limits if rule.name == "api"
    )

    assert (rule.rate.count, rule.rate.period_seconds, rule.rate.burst) == (50, 60, 75)
    assert table.find_route("/ws/connect")[0].sockets_per_caller == 7


def test_key_of_langchain_is_that_of_langsmith(load, monkeypatch):
    monkeypatch.setenv("LANGCHAIN_API_KEY", "key")

    assert load_env(Path("no.env")).optional("LANGSMITH_API_KEY") == "key"


def test_every_variable_that_is_read_or_mapped_is_tested():
    used = {name for name, here in VARIABLES.items() if here.startswith(("Read", "Sets"))}

    assert used == {row[0] for row in VALUES} | TESTED_BELOW | TESTED_ELSEWHERE


@pytest.mark.parametrize(
    ("name", "value", "settings"),
    [
        ("POSTGRESQL_URI", "mongodb://h/d", ChatSettings),
        ("KAFKA_BROKERS", "[1]", ChatSettings),
        ("ENVIRONMENT", "staging", ChatSettings),
        ("PORT", "http", ChatSettings),
        ("ADMIN_EMAIL", "admin", AuthSettings),
        ("LOG_LEVEL", "chatty", ChatSettings),
        ("SESSION_TTL", "-1", ChatSettings),
        ("CONFIG_CACHE_TTL", "soon", ChatSettings),
        ("RESPONSE_CACHE_TTL", "1h", ChatSettings),
        ("REQUEST_TIMEOUT_MS", "0", ChatSettings),
        ("MAX_CONNECTIONS_PER_USER", "0", RealtimeSettings),
        ("DEFAULT_RATE_LIMIT", "often", GatewaySettings),
        ("BURST_LIMIT", "1.5", GatewaySettings),
    ],
)
def test_unusable_value_stops_the_service_with_a_sentence_that_names_it(
    load, name, value, settings
):
    with pytest.raises(SettingsError) as stopped:
        load(settings, **{name: value})

    target = re.match(r"Sets `([A-Z_]+)`", VARIABLES[name])
    assert any(word in str(stopped.value) for word in {name, target[1] if target else name})
    assert str(stopped.value).endswith(".")


def test_brokers_that_contradict_each_other_are_refused_and_both_named(load):
    with pytest.raises(SettingsError, match="EVENTS_URL and KAFKA_BROKERS"):
        load(ChatSettings, EVENTS_URL="amqp://host", KAFKA_BROKERS="one:9092")
