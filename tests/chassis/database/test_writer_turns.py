"""Processes that write to one SQLite file take turns."""

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest
import sqlalchemy as sa

from backend.chassis.database.errors import classify_error
from backend.chassis.database.sessions import Database, open_database
from backend.chassis.database.writer_turns import get_turns_path

ROOT = Path(__file__).parents[3]
TOTAL = 120

# Writes one transaction after the other, with some work in each, until there are so many rows.
WRITE_MANY = """
import sys, time
import sqlalchemy as sa
from backend.chassis.database.sessions import open_database
url, name, total = sys.argv[1], sys.argv[2], int(sys.argv[3])
database = open_database(url, "things")
print("ready", flush=True)
sys.stdin.readline()
count = 0
while count < total:
    with database.write() as session:
        session.execute(sa.text("INSERT INTO writes VALUES (:name)"), {"name": name})
        count = session.scalar(sa.text("SELECT count(*) FROM writes"))
        time.sleep(0.01)
print("done", flush=True)
"""
HOLD_TRANSACTION = """
import sys
import sqlalchemy as sa
from backend.chassis.database.sessions import open_database
with open_database(sys.argv[1], "things").write() as session:
    session.execute(sa.text("INSERT INTO writes VALUES ('lost')"))
    print("ready", flush=True)
    sys.stdin.readline()
"""
HOLD_TURN = """
import fcntl, sys
with open(sys.argv[1], "w") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    print("ready", flush=True)
    sys.stdin.readline()
"""

StartProgram = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "things.db"


@pytest.fixture
def database(file: Path) -> Iterator[Database]:
    database = open_database(f"sqlite:///{file}", "things")
    with database.as_owner() as connection:
        connection.exec_driver_sql("CREATE TABLE writes (name TEXT NOT NULL)")
    yield database
    database.engine.dispose()


@pytest.fixture
def start_program() -> Iterator[StartProgram]:
    """Starts Python programs. Returns when they are ready, and kills them after the test."""
    programs = []

    def start(source: str, *arguments: str) -> "subprocess.Popen[str]":
        program = subprocess.Popen(
            [sys.executable, "-c", source, *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        programs.append(program)
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        return program

    yield start
    for program in programs:
        program.kill()
        program.communicate()


def write(database: Database, name: str) -> None:
    with database.write() as session:
        session.execute(sa.text("INSERT INTO writes VALUES (:name)"), {"name": name})


def count_writes(database: Database) -> Counter[str]:
    with database.read() as session:
        return Counter(session.scalars(sa.text("SELECT name FROM writes")))


def go_on(program: "subprocess.Popen[str]") -> None:
    assert program.stdin is not None
    program.stdin.write("\n")
    program.stdin.flush()


def test_each_of_two_processes_gets_a_third_of_the_transactions(database, file, start_program):
    arguments = (WRITE_MANY, f"sqlite:///{file}")
    programs = [start_program(*arguments, name, str(TOTAL)) for name in ("one", "two")]

    for program in programs:
        go_on(program)
    for program in programs:
        assert program.stdout.readline() == "done\n"

    counts = count_writes(database)
    assert min(counts["one"], counts["two"]) >= TOTAL // 3, counts


def test_tables_are_changed_while_another_process_writes(database, file, start_program):
    go_on(start_program(WRITE_MANY, f"sqlite:///{file}", "other", "1000000"))

    with database.as_owner() as connection:
        connection.exec_driver_sql("CREATE TABLE others (name TEXT)")
    for _ in range(5):
        write(database, "mine")

    assert count_writes(database)["mine"] == 5


def test_transaction_of_a_killed_process_is_rolled_back_and_others_write(
    database, file, start_program
):
    holder = start_program(HOLD_TRANSACTION, f"sqlite:///{file}")

    holder.kill()
    holder.wait()
    write(database, "mine")

    assert count_writes(database) == {"mine": 1}


def test_killed_process_loses_its_turn(database, file, start_program):
    holder = start_program(HOLD_TURN, str(get_turns_path(file)))

    holder.kill()
    holder.wait()
    write(database, "mine")

    assert count_writes(database) == {"mine": 1}


def test_write_fails_after_two_seconds_while_a_frozen_process_holds_a_transaction(
    database, file, start_program
):
    holder = start_program(HOLD_TRANSACTION, f"sqlite:///{file}")
    holder.send_signal(signal.SIGSTOP)

    started = monotonic()
    with pytest.raises(sa.exc.OperationalError) as raised:
        write(database, "mine")

    assert classify_error(raised.value) == "busy"
    assert 1.9 < monotonic() - started < 20


def test_frozen_process_with_the_turn_does_not_stop_others(database, file, start_program):
    holder = start_program(HOLD_TURN, str(get_turns_path(file)))
    holder.send_signal(signal.SIGSTOP)

    write(database, "mine")

    assert count_writes(database) == {"mine": 1}


def test_writes_succeed_without_a_file_for_turns(tmp_path):
    file = tmp_path / "things.db"
    get_turns_path(file).mkdir()
    database = open_database(f"sqlite:///{file}", "things")

    with database.as_owner() as connection:
        connection.exec_driver_sql("CREATE TABLE writes (name TEXT NOT NULL)")
    write(database, "mine")

    assert count_writes(database) == {"mine": 1}
    database.engine.dispose()


def test_file_for_turns_has_the_permissions_of_the_database(database, file):
    assert get_turns_path(file).stat().st_mode == file.stat().st_mode
