"""Settings are read by name and type, and a wrong one says what to do."""

import stat

import pytest

from backend.chassis.settings import CommonSettings, Env, Secret, SettingsError, load_env

STRONG = "9kVt2Lw8_qZx7RbN4mPc6YhJ3sFd5GaTzQeUiXoB"
PRODUCTION = {"APP_ENV": "production"}


@pytest.mark.parametrize(
    ("values", "ask", "message"),
    [
        ({"N": "ten"}, lambda env: env.number("N", 1), "N must be a whole number"),
        ({"N": "-1"}, lambda env: env.number("N", 1), "at least 0"),
        ({"F": "maybe"}, lambda env: env.flag("F"), "F must be true or false"),
        ({"D": "x"}, lambda env: env.decimal("D", 1.0), "D must be a number"),
        ({"C": "z"}, lambda env: env.choice("C", ("x", "y"), "x"), "one of x, y"),
        ({"APP_ENV": "staging"}, lambda env: env.production, "development, production"),
        (PRODUCTION, lambda env: env.secret("S"), "S is not set"),
        (PRODUCTION | {"S": "short"}, lambda env: env.secret("S"), "shorter than 32"),
        (PRODUCTION | {"S": "change-me" * 5}, lambda env: env.secret("S"), "sample"),
        (PRODUCTION | {"S": "a" * 40}, lambda env: env.secret("S"), "sample"),
        (PRODUCTION | {"FLASK_DEBUG": "1"}, lambda env: env.debug, "FLASK_DEBUG must be off"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_wanted(values, ask, message):
    with pytest.raises(SettingsError, match=message):
        ask(Env(values))


def test_an_empty_variable_counts_as_unset():
    env = Env({"A": " ", "B": ""})

    assert env.optional("A") is None
    assert env.number("B", 7) == 7
    assert env.several("C", ("x",)) == ("x",)


def test_values_have_the_type_that_was_asked_for():
    env = Env({"N": "5", "D": "0.5", "F": "yes", "L": "a, b,,c", "S": "90"})

    assert env.number("N", 1) == 5
    assert env.decimal("D", 1.0) == 0.5
    assert env.flag("F") is True
    assert env.several("L") == ("a", "b", "c")
    assert env.seconds("S", 1).total_seconds() == 90


def test_a_missing_secret_is_made_once_in_development(tmp_path):
    env = Env({"DATA_DIR": str(tmp_path)})

    first, second = env.secret("SECRET_KEY"), env.secret("SECRET_KEY")

    assert first.reveal() == second.reveal() != env.secret("JWT_SECRET_KEY").reveal()
    assert len(first.reveal()) >= 32
    file = tmp_path / "secrets" / "SECRET_KEY"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {each.name for each in file.parent.iterdir()} == {"SECRET_KEY", "JWT_SECRET_KEY"}


def test_a_strong_secret_is_taken_in_production():
    assert Env(PRODUCTION | {"S": STRONG}).secret("S").reveal() == STRONG


def test_a_secret_does_not_show():
    assert STRONG not in f"{Secret(STRONG)!r} {Secret(STRONG)}"


def test_the_environment_wins_over_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("GIVEN", "by the environment")
    monkeypatch.setenv("ONLY_IN_FILE", "to be removed after the test")
    monkeypatch.delenv("ONLY_IN_FILE")
    (tmp_path / ".env").write_text("GIVEN=by the file\nONLY_IN_FILE=x\n")

    env = load_env(tmp_path / ".env")

    assert env.optional("GIVEN") == "by the environment"
    assert env.optional("ONLY_IN_FILE") == "x"


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ({}, "sqlite:///{data}/auth.db"),
        ({"DATABASE_URL": "postgres://h/d"}, "postgresql+pg8000://h/d"),
        ({"DATABASE_URL": "postgresql://h/d"}, "postgresql+pg8000://h/d"),
        ({"DATABASE_URL": "sqlite:///x.db"}, "sqlite:///x.db"),
    ],
)
def test_the_database_is_a_file_of_ones_own_unless_another_is_named(tmp_path, given, used):
    env = Env(given | {"DATA_DIR": str(tmp_path)})
    common = CommonSettings.from_env(env, "auth")

    assert common.database_url(env) == used.format(data=tmp_path)


def test_a_secret_may_stand_in_a_file(tmp_path, monkeypatch):
    url = tmp_path / "url"
    url.write_text("postgresql://agent:pw@postgres/agent\n")
    monkeypatch.setenv("DATABASE_URL_FILE", str(url))
    monkeypatch.setenv("REDIS_URL", "redis://here")
    monkeypatch.setenv("REDIS_URL_FILE", "/nowhere")
    monkeypatch.setenv("DATABASE_URL", "")

    env = load_env(tmp_path / "no.env")

    assert env.optional("DATABASE_URL") == "postgresql://agent:pw@postgres/agent"
    # What is set by itself wins, and nobody looks for the file.
    assert env.optional("REDIS_URL") == "redis://here"


def test_a_secrets_file_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("SECRET_KEY", raising=False)
    monkeypatch.setenv("SECRET_KEY_FILE", str(tmp_path / "key"))

    with pytest.raises(SettingsError, match=r"SECRET_KEY_FILE names .*key, which can't be read"):
        load_env(tmp_path / "no.env")


def test_files_of_others_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")

    assert load_env(tmp_path / "no.env").optional("SSL_CERT") is None
