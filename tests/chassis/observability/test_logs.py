"""Lines of the log: whatever happens and whatever stands in them, each is one JSON object."""

import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from backend.chassis.database.sessions import open_database
from backend.chassis.observability.logs import JsonLines

ROOT = Path(__file__).parents[2]
HOSTILE = [
    pytest.param('done"}\n{"level":"critical","message":"forged"}', id="a line of its own"),
    pytest.param("\x1b[2J\x1b]0;owned\x07\x9b31m", id="what steers a terminal"),
    pytest.param("one\r\ntwo\u2028three\u2029four\x85five\x0bsix\x0cseven", id="ends of lines"),
    pytest.param("\u202etxt.exe\u2066", id="text turned round"),
    pytest.param("half \ud800 a pair", id="half a surrogate pair"),
]


@pytest.mark.parametrize("value", HOSTILE)
def test_nothing_that_is_logged_breaks_its_line_or_steers_a_terminal(value):
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "got %s", (value,), None)
    record.fields = {"path": value}

    line = JsonLines("rag").format(record)

    assert not re.search("[\x7f-\x9f\u2028-\u202e\u2066\ud800]", line)
    assert len(line.splitlines()) == 1
    assert not any(ord(character) < 32 for character in line)
    assert json.loads(line)["message"] == f"got {value}"
    assert json.loads(line)["path"] == value


def test_a_line_is_not_endless():
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "%s", ("x" * 10**6,), None)

    assert len(JsonLines("rag").format(record)) < 10_000


def test_the_time_is_rfc_3339_in_utc():
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "now", (), None)
    record.created = 1_700_000_000.0625

    assert json.loads(JsonLines("rag").format(record))["timestamp"] == "2023-11-14T22:13:20.062Z"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        pytest.param("import warnings; warnings.warn('old ways')", "old ways", id="a warning"),
        pytest.param("1 / 0", "the process ends: ZeroDivisionError", id="the end of the process"),
        pytest.param(
            "import threading; t = threading.Thread(target=lambda: 1 / 0, name='bell'); t.start()",
            "the thread bell ends: ZeroDivisionError",
            id="the end of a thread",
        ),
        pytest.param(
            "import asyncio\n"
            "async def main():\n"
            "    asyncio.get_running_loop().call_soon(lambda: 1 / 0)\n"
            "    await asyncio.sleep(0.01)\n"
            "asyncio.run(main())",
            "Exception in callback",
            id="what fails in a loop",
        ),
        pytest.param(
            "class X:\n    def __del__(self): 1 / 0\nx = X()\ndel x",
            "ZeroDivisionError, where nobody could hear of it",
            id="what nobody can catch",
        ),
    ],
)
def test_what_python_says_by_itself_is_a_line_too(code, said):
    program = (
        f"from backend.chassis.observability.logs import log_as_json\nlog_as_json('rag')\n{code}"
    )

    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=60
    )

    (line,) = map(json.loads, run.stderr.splitlines())
    assert said in line["message"]


def test_an_error_of_the_database_does_not_tell_what_was_to_be_stored(database_url):
    database = open_database(database_url, "rag")
    with database.as_owner() as connection:
        connection.execute(text("CREATE TABLE people (email TEXT NOT NULL, digest TEXT NOT NULL)"))

    statement = text("INSERT INTO people VALUES (:email, :digest)")
    row = {"email": "ada@example.org", "digest": None}
    with database.write() as session, pytest.raises(IntegrityError) as raised:
        session.execute(statement, row)

    assert "ada@example.org" not in str(raised.value)
