"""Each log line is one JSON object, whatever its values contain."""

import contextlib
import json
import logging
import os
import pty
import re
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from backend.chassis.database.sessions import open_database
from backend.chassis.observability.logs import JsonFormatter, TextFormatter

ROOT = Path(__file__).parents[3]
HOSTILE = [
    pytest.param('done"}\n{"level":"critical","message":"forged"}', id="forged line"),
    pytest.param("\x1b[2J\x1b]0;owned\x07\x9b31m", id="terminal escape sequences"),
    pytest.param("one\r\ntwo\u2028three\u2029four\x85five\x0bsix\x0cseven", id="line separators"),
    pytest.param("\u202etxt.exe\u2066", id="bidirectional override"),
    pytest.param("half \ud800 a pair", id="lone surrogate"),
]


@pytest.mark.parametrize("value", HOSTILE)
def test_control_characters_are_escaped_in_log_values(value):
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "got %s", (value,), None)
    record.fields = {"path": value}

    line = JsonFormatter("rag").format(record)

    assert not re.search("[\x7f-\x9f\u2028-\u202e\u2066\ud800]", line)
    assert len(line.splitlines()) == 1
    assert not any(ord(character) < 32 for character in line)
    assert json.loads(line)["message"] == f"got {value}"
    assert json.loads(line)["path"] == value


def test_long_message_is_truncated():
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "%s", ("x" * 10**6,), None)

    assert len(JsonFormatter("rag").format(record)) < 10_000


def test_timestamp_is_rfc3339_in_utc():
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "now", (), None)
    record.created = 1_700_000_000.0625

    assert (
        json.loads(JsonFormatter("rag").format(record))["timestamp"] == "2023-11-14T22:13:20.062Z"
    )


@pytest.mark.parametrize(
    ("code", "message"),
    [
        pytest.param("import warnings; warnings.warn('deprecated')", "deprecated", id="warning"),
        pytest.param("1 / 0", "process ended by ZeroDivisionError", id="uncaught exception"),
        pytest.param(
            "import threading; threading.Thread(target=lambda: 1 / 0, name='poller').start()",
            "thread poller ended by ZeroDivisionError",
            id="exception in a thread",
        ),
        pytest.param(
            "import asyncio\n"
            "async def main():\n"
            "    asyncio.get_running_loop().call_soon(lambda: 1 / 0)\n"
            "    await asyncio.sleep(0.01)\n"
            "asyncio.run(main())",
            "Exception in callback",
            id="exception in an event loop",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "class X:\n    def __del__(self): 1 / 0\nx = X()\ndel x",
            "exception ignored: ZeroDivisionError",
            id="exception in a finalizer",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_python_errors_and_warnings_are_logged_as_json(code, message):
    program = (
        "from backend.chassis.observability.logs import configure_logging\n"
        f"configure_logging('rag')\n{code}"
    )

    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=60
    )

    (line,) = map(json.loads, result.stderr.splitlines())
    assert message in line["message"]


@pytest.mark.parametrize(
    ("statement", "row"),
    [
        ("INSERT INTO people VALUES (:email, :digest)", {"digest": None}),
        ("INSERT INTO people VALUES (:email, '1'), (:email, '2')", {}),
        ("SELECT CAST(:email AS integer) FROM people JOIN nowhere", {}),
        ("INSERT INTO people VALUES (CAST(:email AS json) ->> 0, '1')", {}),
    ],
    ids=["missing value", "repeated key", "unknown table", "wrong type"],
)
def test_database_error_message_contains_no_stored_values(each_database_url, statement, row):
    database = open_database(each_database_url, "rag")
    with database.as_owner() as connection:
        connection.execute(
            text("CREATE TABLE people (email TEXT NOT NULL PRIMARY KEY, digest TEXT NOT NULL)")
        )

    values = {"email": "ada@example.org"} | row
    with pytest.raises(DBAPIError) as raised, database.as_owner() as connection:
        connection.execute(text(statement), values)

    assert "ada@example" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("value", HOSTILE)
def test_control_characters_are_escaped_in_text_for_a_terminal(value):
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "got %s", (value,), None)

    line = TextFormatter("rag").format(record)

    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066\ud800]", line)


def run_in_terminal(code: str) -> str:
    """Return what a Python process writes to its terminal."""
    controller, terminal = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=terminal, stderr=terminal):
        os.close(terminal)
        output = b""
        with contextlib.suppress(OSError):  # raised when the process has closed the terminal
            while chunk := os.read(controller, 4096):
                output += chunk
    os.close(controller)
    return output.decode().replace("\r\n", "\n")


@pytest.mark.slow
def test_traceback_on_a_terminal_has_several_lines():
    output = run_in_terminal(
        "from backend.chassis.observability.logs import configure_logging\n"
        "configure_logging('rag')\n1 / 0"
    )

    assert "CRITICAL rag crash: process ended by ZeroDivisionError" in output
    assert "\nZeroDivisionError: division by zero\n" in output
    assert not output.startswith("{")


@pytest.mark.slow
def test_log_level_hides_less_severe_lines():
    code = (
        "import logging\nfrom backend.chassis.observability.logs import configure_logging\n"
        "configure_logging('rag', 'WARNING')\n"
        "logging.info('hidden')\nlogging.warning('visible')"
    )
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    assert [json.loads(line)["message"] for line in process.stderr.splitlines()] == ["visible"]
