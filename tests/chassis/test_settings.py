"""Typed environment variables and their error messages."""

import stat

import pytest

from backend.chassis.settings import (
    CommonSettings,
    Env,
    Secret,
    SettingsError,
    load_env,
    load_public_url,
)
from backend.services.chat.settings import Settings as ChatSettings

STRONG = "9kVt2Lw8_qZx7RbN4mPc6YhJ3sFd5GaTzQeUiXoB"
PRODUCTION = {"APP_ENV": "production"}


@pytest.mark.parametrize(
    ("values", "read", "message"),
    [
        ({"N": "ten"}, lambda env: env.number("N", 1), "N must be a whole number"),
        ({"N": "-1"}, lambda env: env.number("N", 1), "at least 0"),
        ({"F": "maybe"}, lambda env: env.flag("F"), "F must be true or false"),
        ({"D": "x"}, lambda env: env.decimal("D", 1.0), "D must be a number"),
        ({"C": "z"}, lambda env: env.choice("C", ("x", "y"), "x"), "one of x, y"),
        ({"APP_ENV": "staging"}, lambda env: env.is_production, "development, production"),
        (PRODUCTION, lambda env: env.secret("S"), "S is not set"),
        (PRODUCTION | {"S": "short"}, lambda env: env.secret("S"), "shorter than 32"),
        (PRODUCTION | {"S": "change-me" * 5}, lambda env: env.secret("S"), "sample"),
        (PRODUCTION | {"S": "a" * 40}, lambda env: env.secret("S"), "sample"),
        (PRODUCTION | {"FLASK_DEBUG": "1"}, lambda env: env.is_debug, "FLASK_DEBUG must be off"),
    ],
)
def test_invalid_value_is_reported_with_its_name_and_rule(values, read, message):
    with pytest.raises(SettingsError, match=message):
        read(Env(values))


def test_empty_variable_counts_as_unset():
    env = Env({"A": " ", "B": ""})

    assert env.optional("A") is None
    assert env.number("B", 7) == 7
    assert env.text_list("C", ("x",)) == ("x",)


def test_values_are_converted_to_the_requested_type():
    env = Env({"N": "5", "D": "0.5", "F": "yes", "L": "a, b,,c", "S": "90"})

    assert env.number("N", 1) == 5
    assert env.decimal("D", 1.0) == 0.5
    assert env.flag("F") is True
    assert env.text_list("L") == ("a", "b", "c")
    assert env.seconds("S", 1).total_seconds() == 90


def test_missing_secret_is_generated_once_in_development(tmp_path):
    env = Env({"DATA_DIR": str(tmp_path)})

    first, second = env.secret("SECRET_KEY"), env.secret("SECRET_KEY")

    assert first.reveal() == second.reveal() != env.secret("JWT_SECRET_KEY").reveal()
    assert len(first.reveal()) >= 32
    file = tmp_path / "secrets" / "SECRET_KEY"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {path.name for path in file.parent.iterdir()} == {"SECRET_KEY", "JWT_SECRET_KEY"}


def test_strong_secret_is_accepted_in_production():
    assert Env(PRODUCTION | {"S": STRONG}).secret("S").reveal() == STRONG


def test_secret_is_not_shown():
    assert STRONG not in f"{Secret(STRONG)!r} {Secret(STRONG)}"


def test_environment_takes_precedence_over_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("IN_BOTH", "from the environment")
    monkeypatch.setenv("ONLY_IN_FILE", "to be removed after the test")
    monkeypatch.delenv("ONLY_IN_FILE")
    (tmp_path / ".env").write_text("IN_BOTH=from the file\nONLY_IN_FILE=x\n")

    env = load_env(tmp_path / ".env")

    assert env.optional("IN_BOTH") == "from the environment"
    assert env.optional("ONLY_IN_FILE") == "x"


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({}, "sqlite:///{data}/auth.db"),
        ({"DATABASE_URL": "postgres://h/d"}, "postgresql+pg8000://h/d"),
        ({"DATABASE_URL": "postgresql://h/d"}, "postgresql+pg8000://h/d"),
        ({"DATABASE_URL": "postgresql+asyncpg://h/d"}, "postgresql+pg8000://h/d"),
        ({"DATABASE_URL": "sqlite:///x.db"}, "sqlite:///x.db"),
    ],
)
def test_database_url_defaults_to_a_sqlite_file_of_the_service(tmp_path, variables, url):
    env = Env(variables | {"DATA_DIR": str(tmp_path)})
    common = CommonSettings.from_env(env, "auth")

    assert common.get_database_url(env) == url.format(data=tmp_path)


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({}, "http://127.0.0.1:5000"),
        ({"GATEWAY_PORT": "8080"}, "http://127.0.0.1:8080"),
        ({"GATEWAY_PORT": "80"}, "http://127.0.0.1"),
        ({"GATEWAY_PORT": "80", "TLS_CERTFILE": "server.pem"}, "https://127.0.0.1:80"),
        ({"GATEWAY_PORT": "443", "TLS_CERTFILE": "server.pem"}, "https://127.0.0.1"),
        ({"GATEWAY_PORT": "80", "PUBLIC_URL": "https://suite.example/"}, "https://suite.example"),
    ],
)
def test_public_url_of_all_services_is_that_of_the_gateway(tmp_path, variables, url):
    inside = {"DATA_DIR": str(tmp_path), "GATEWAY_SERVICE_URL": "http://gateway:5000"}
    env = Env(variables | inside)

    assert load_public_url(env) == url
    assert ChatSettings.from_env(env).public_url == url
    provider = "https://chat.example"
    assert ChatSettings.from_env(Env(inside | {"CHAT_PUBLIC_URL": provider})).public_url == provider


def test_secret_file_sets_its_variable(tmp_path, monkeypatch):
    url = tmp_path / "url"
    url.write_text("postgresql://agent:pw@postgres/agent\n")
    monkeypatch.setenv("DATABASE_URL_FILE", str(url))
    monkeypatch.setenv("REDIS_URL", "redis://here")
    monkeypatch.setenv("REDIS_URL_FILE", "/nowhere")
    monkeypatch.setenv("DATABASE_URL", "")

    env = load_env(tmp_path / "no.env")

    assert env.optional("DATABASE_URL") == "postgresql://agent:pw@postgres/agent"
    # A variable that is set directly takes precedence, and its file is not read.
    assert env.optional("REDIS_URL") == "redis://here"


def test_missing_secret_file_is_reported(tmp_path, monkeypatch):
    monkeypatch.delenv("SECRET_KEY", raising=False)
    monkeypatch.setenv("SECRET_KEY_FILE", str(tmp_path / "key"))

    with pytest.raises(SettingsError, match=r"SECRET_KEY_FILE names .*key, which cannot be read"):
        load_env(tmp_path / "no.env")


def test_unrelated_file_variables_are_ignored(tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")

    assert load_env(tmp_path / "no.env").optional("SSL_CERT") is None


def test_services_read_the_dotenv_below_backend_services_too(tmp_path, monkeypatch):
    (services := tmp_path / "backend" / "services").mkdir(parents=True)
    (tmp_path / ".env").write_text("FIRST_NAME=top\n")
    (services / ".env").write_text("FIRST_NAME=below\nSECOND_NAME=below\n")
    monkeypatch.setattr("os.environ", {})

    env = load_env(tmp_path / ".env")

    assert (env.optional("FIRST_NAME"), env.optional("SECOND_NAME")) == ("top", "below")
