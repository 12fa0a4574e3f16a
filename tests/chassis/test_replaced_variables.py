"""Variables of replaced systems: what they set, invalid values and contradictions."""

import pytest

from backend.chassis.console import CommandError
from backend.chassis.replaced_variables import ReplacedVariableError, map_replaced_variables
from backend.chassis.settings import CommonSettings, Env, SettingsError, load_env
from backend.operations.supervisor.environment import EnvironmentVariables
from backend.services.gateway.settings import load_routes


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"ENVIRONMENT": "production"}, {"APP_ENV": "production"}),
        ({"FLASK_ENV": "development"}, {"APP_ENV": "development"}),
        ({"FLASK_ENV": "production", "APP_ENV": "production"}, {}),
        ({"POSTGRESQL_URI": "postgresql://h/d"}, {"DATABASE_URL": "postgresql://h/d"}),
        ({"LANGCHAIN_API_KEY": "k"}, {"LANGSMITH_API_KEY": "k"}),
        ({"DEFAULT_RATE_LIMIT": "50"}, {"RATE_LIMIT_API": "50/minute"}),
        ({"BURST_LIMIT": "200"}, {"RATE_LIMIT_API": "100/minute burst 200"}),
        (
            {"DEFAULT_RATE_LIMIT": "9 per second", "BURST_LIMIT": "20"},
            {"RATE_LIMIT_API": "9 per second burst 20"},
        ),
        ({"MAX_CONNECTIONS_PER_USER": "5"}, {"REALTIME_SOCKETS_PER_USER": "5"}),
        ({"ENVIRONMENT": " ", "DEFAULT_RATE_LIMIT": ""}, {}),
    ],
)
def test_variable_of_a_replaced_system_sets_ours(values, expected):
    mapped = map_replaced_variables(values)

    assert mapped == expected
    # Child processes read the result again.
    assert map_replaced_variables(values | mapped) == {}


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"ENVIRONMENT": "production", "APP_ENV": "development"}, ("ENVIRONMENT", "APP_ENV")),
        ({"ENVIRONMENT": "production", "FLASK_ENV": "development"}, ("ENVIRONMENT", "FLASK_ENV")),
        (
            {"POSTGRESQL_URI": "postgresql://u:one@h/d", "DATABASE_URL": "postgresql://u:two@h/d"},
            ("POSTGRESQL_URI", "DATABASE_URL"),
        ),
        ({"DEFAULT_RATE_LIMIT": "5", "RATE_LIMIT_API": "6/minute"}, ("RATE_LIMIT_API",)),
        ({"ENVIRONMENT": "staging"}, ("ENVIRONMENT", "staging", "development, production")),
        ({"DEFAULT_RATE_LIMIT": "often"}, ("DEFAULT_RATE_LIMIT", "often")),
        ({"BURST_LIMIT": "0"}, ("BURST_LIMIT", "0")),
        ({"MAX_CONNECTIONS_PER_IP": "-1"}, ("MAX_CONNECTIONS_PER_IP", "-1")),
    ],
)
def test_invalid_and_contradicting_variables_are_refused_and_named(
    tmp_path, monkeypatch, values, names
):
    with pytest.raises(ReplacedVariableError) as refused:
        map_replaced_variables(values)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=names[0]):
        load_env(tmp_path / "no.env")
    with pytest.raises(CommandError, match=names[0]):
        EnvironmentVariables.read(tmp_path)

    assert all(name in str(refused.value) for name in names)
    assert "one@h" not in str(refused.value)


def test_rate_and_burst_reach_the_gateways_routes():
    env = Env(map_replaced_variables({"DEFAULT_RATE_LIMIT": "50", "BURST_LIMIT": "75"}))
    found = load_routes(env).find_route("/chat/conversations")

    assert found is not None
    (rule,) = (rule for rule in found[0].limits if rule.name == "api")
    assert (rule.rate.count, rule.rate.period_seconds, rule.rate.burst) == (50, 60, 75)


def test_port_is_used_by_a_service_without_a_port_of_its_own(tmp_path):
    values = {"PORT": "8001", "DATA_DIR": str(tmp_path)}
    own = values | {"AUTH_SERVICE_PORT": "8002"}

    assert CommonSettings.from_env(Env(values), "auth").port == 8001
    assert CommonSettings.from_env(Env(own), "auth").port == 8002
    with pytest.raises(SettingsError, match="PORT must be a whole number"):
        CommonSettings.from_env(Env(values | {"PORT": "http"}), "auth")
