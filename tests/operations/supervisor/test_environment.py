"""Environment variables and `.env`: precedence, origin, parsing."""

from pathlib import Path

import pytest

from backend.chassis.console import CommandError
from backend.operations.supervisor.environment import EnvironmentVariables, parse_dotenv


def test_exported_variables_take_precedence_and_empty_ones_count_as_unset():
    variables = EnvironmentVariables(
        {"A": "shell", "EMPTY": ""}, {"A": "file", "B": "file", "EMPTY": "file"}
    )

    assert [variables.get(name) for name in ("A", "B", "EMPTY", "C")] == [
        "shell",
        "file",
        "file",
        None,
    ]
    assert [variables.origin(name) for name in ("A", "B", "C")] == [
        "environment",
        ".env",
        "default",
    ]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        pytest.param("NAME=plain", "plain", id="plain"),
        pytest.param("export NAME=plain", "plain", id="exported"),
        pytest.param("NAME = spaced ", "spaced", id="spaces around"),
        pytest.param("NAME='a # b'", "a # b", id="single quotes"),
        pytest.param('NAME="a b"  # why', "a b", id="double quotes and a comment"),
        pytest.param("NAME=a#b", "a#b", id="hash inside"),
        pytest.param("NAME=a # why", "a", id="comment"),
        pytest.param("NAME=", "", id="empty"),
        pytest.param("NAME=postgresql://u:p@h/d?x=1", "postgresql://u:p@h/d?x=1", id="URL"),
    ],
)
def test_dotenv_line_is_parsed_like_a_shell_assignment(line, value):
    assert parse_dotenv(f"# a comment\n\n{line}\nno assignment\n").values == {"NAME": value}


@pytest.mark.parametrize("value", ["abc", "0", "65536", "-1", "5000.5"])
def test_error_for_an_invalid_port_contains_variable_and_value(value):
    with pytest.raises(CommandError, match=f"AUTH_SERVICE_PORT is '{value}'"):
        EnvironmentVariables({"AUTH_SERVICE_PORT": value}).number(
            "AUTH_SERVICE_PORT", 5001, 1, 65535
        )


def test_relative_path_is_resolved_against_the_project():
    variables = EnvironmentVariables({"DATA_DIR": "elsewhere"})

    assert variables.path("DATA_DIR", Path("/p/data"), Path("/p")) == Path("/p/elsewhere")
    assert variables.path("LOG_DIR", Path("/p/logs"), Path("/p")) == Path("/p/logs")


def test_variable_can_be_read_from_a_secret_file(tmp_path, monkeypatch):
    (tmp_path / "redis").write_text("redis://elsewhere\n")
    (tmp_path / ".env").write_text(f"REDIS_URL_FILE={tmp_path / 'redis'}\n")
    monkeypatch.delenv("REDIS_URL", raising=False)

    assert EnvironmentVariables.read(tmp_path).get("REDIS_URL") == "redis://elsewhere"

    (tmp_path / "redis").unlink()
    with pytest.raises(CommandError, match="REDIS_URL_FILE names"):
        EnvironmentVariables.read(tmp_path)


def test_dotenv_of_the_project_takes_precedence_over_that_of_the_services(tmp_path, monkeypatch):
    (services := tmp_path / "backend" / "services").mkdir(parents=True)
    (tmp_path / ".env").write_text("# comment\nRATE_LIMIT_API=7/minute\n")
    (services / ".env").write_text("RATE_LIMIT_API=8/minute\nRATE_LIMIT_AUTH=9/minute\n")
    for name in ("RATE_LIMIT_API", "RATE_LIMIT_AUTH"):
        monkeypatch.delenv(name, raising=False)

    variables = EnvironmentVariables.read(tmp_path)

    assert variables.get("RATE_LIMIT_API") == "7/minute"
    assert variables.location("RATE_LIMIT_API") == ".env, line 2"
    assert variables.get("RATE_LIMIT_AUTH") == "9/minute"
    assert variables.location("RATE_LIMIT_AUTH") == "backend/services/.env, line 2"


def test_unreadable_dotenv_is_reported_with_its_path(tmp_path):
    (tmp_path / ".env").write_bytes(b"NAME=\xff")

    with pytest.raises(CommandError, match=r"\.env cannot be read: it is not UTF-8 text"):
        EnvironmentVariables.read(tmp_path)
