"""What counts as set, and where it came from."""

from pathlib import Path

import pytest

from backend.chassis.console import CannotRun
from backend.operations.supervisor.environment import Variables, parse


def test_what_is_exported_wins_over_the_file_and_nothing_counts_as_unset():
    variables = Variables({"A": "shell", "EMPTY": ""}, {"A": "file", "B": "file", "EMPTY": "file"})

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
        pytest.param("NAME=", "", id="nothing"),
        pytest.param("NAME=postgresql://u:p@h/d?x=1", "postgresql://u:p@h/d?x=1", id="URL"),
    ],
)
def test_a_line_of_the_file_is_read_as_a_shell_would(line, value):
    assert parse(f"# a comment\n\n{line}\nno assignment\n") == {"NAME": value}


@pytest.mark.parametrize("value", ["abc", "0", "65536", "-1", "5000.5"])
def test_a_wrong_port_is_refused_in_a_sentence_that_names_it(value):
    with pytest.raises(CannotRun, match=f"AUTH_SERVICE_PORT is '{value}'"):
        Variables({"AUTH_SERVICE_PORT": value}).number("AUTH_SERVICE_PORT", 5001, 1, 65535)


def test_a_relative_folder_counts_from_the_project():
    variables = Variables({"DATA_DIR": "elsewhere"})

    assert variables.path("DATA_DIR", Path("/p/data"), Path("/p")) == Path("/p/elsewhere")
    assert variables.path("LOG_DIR", Path("/p/logs"), Path("/p")) == Path("/p/logs")


def test_a_secret_may_stand_in_a_file(tmp_path, monkeypatch):
    (tmp_path / "redis").write_text("redis://elsewhere\n")
    (tmp_path / ".env").write_text(f"REDIS_URL_FILE={tmp_path / 'redis'}\n")
    monkeypatch.delenv("REDIS_URL", raising=False)

    assert Variables.read(tmp_path).get("REDIS_URL") == "redis://elsewhere"

    (tmp_path / "redis").unlink()
    with pytest.raises(CannotRun, match="REDIS_URL_FILE names"):
        Variables.read(tmp_path)
