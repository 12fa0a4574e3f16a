"""Writes that wait at the same time share a transaction, and fail alone."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest
from sqlalchemy import event, text

from backend.chassis.database.sessions import open_database
from backend.chassis.database.write_groups import WriteGroups
from tests.databases import create_sqlite_database

COUNT = 20
MAX_GROUP = 32


@pytest.fixture
def database(tmp_path):
    database = open_database(create_sqlite_database(tmp_path / "chat.db", "chat"), "chat")
    yield database
    database.engine.dispose()


@pytest.fixture
def commits(database):
    counted = []
    event.listen(database.engine, "commit", counted.append)
    return counted


def insert(number):
    def write(session):
        columns = "(key, tenant_id, next_at) VALUES (:key, 't1', '2030-01-01')"
        session.execute(text(f"INSERT INTO chat_send_rates {columns}"), {"key": f"key-{number}"})

    return write


def read_keys(database):
    with database.read() as session:
        return set(session.scalars(text("SELECT key FROM chat_send_rates")))


def run_while_one_is_written(groups, writes):
    """Call *writes* in threads while another write is in progress. Returns their exceptions.

    The subject of each write is its number.
    """
    entered, leave = threading.Event(), threading.Event()

    def hold(session):
        insert("first")(session)
        entered.set()
        leave.wait(10)

    def run(write, subject=None):
        try:
            groups.write("t1", write, subject)
        except Exception as error:  # noqa: BLE001 - returned
            return error
        return None

    with ThreadPoolExecutor(len(writes) + 1) as pool:
        first = pool.submit(run, hold)
        assert entered.wait(60)
        others = [pool.submit(run, write, str(number)) for number, write in enumerate(writes)]
        while groups.count_waiting() < len(writes):
            threading.Event().wait(0.01)
        leave.set()
        assert first.result(20) is None
        return [other.result(20) for other in others]


def test_waiting_writes_share_a_transaction(database, commits):
    errors = run_while_one_is_written(WriteGroups(database), [insert(n) for n in range(COUNT)])

    assert errors == [None] * COUNT
    assert len(commits) == 2
    assert read_keys(database) == {"key-first", *(f"key-{n}" for n in range(COUNT))}


def test_failing_write_raises_its_error_and_no_other_write_is_lost(database):
    def fail(session):
        insert("failed")(session)
        raise ValueError("not valid")

    writes = [*(insert(n) for n in range(3)), fail, *(insert(n) for n in range(3, 6))]
    errors = run_while_one_is_written(WriteGroups(database), writes)

    assert [type(error) for error in errors] == [type(None)] * 3 + [ValueError] + [type(None)] * 3
    assert read_keys(database) == {"key-first", *(f"key-{n}" for n in range(6))}


def test_writes_after_a_failed_one_are_written(database):
    groups = WriteGroups(database)

    def fail(_session):
        raise ValueError("not valid")

    for _ in range(3):
        with pytest.raises(ValueError, match="not valid"):
            groups.write("t1", fail)
    groups.write("t1", insert("after"))

    assert read_keys(database) == {"key-after"}


def test_each_write_runs_in_the_context_of_its_caller(database):
    groups, request, seen = WriteGroups(database), ContextVar("request"), {}

    def call(number):
        request.set(number)
        groups.write("t1", lambda _: seen.setdefault(number, request.get()))

    with ThreadPoolExecutor(COUNT) as pool:
        list(pool.map(call, range(COUNT)))

    assert seen == {number: number for number in range(COUNT)}


def test_group_is_prepared_with_its_subjects_in_its_transaction(database):
    prepared = []

    def prepare(session, subjects):
        session.info["prepared"] = subjects
        prepared.append(subjects)

    def write(session):
        assert session.info["prepared"] == ["0", "1", "2"]

    assert run_while_one_is_written(WriteGroups(database, prepare), [write] * 3) == [None] * 3

    assert prepared == [["0", "1", "2"]]


def test_writes_are_written_alone_if_their_preparation_fails(database):
    def prepare(_session, _subjects):
        raise ValueError("not valid")

    errors = run_while_one_is_written(WriteGroups(database, prepare), [insert(n) for n in range(3)])

    assert errors == [None] * 3
    assert read_keys(database) == {"key-first", *(f"key-{n}" for n in range(3))}


def fail_as_locked(_session):
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    raise error


def test_writes_of_a_group_are_not_repeated_while_the_database_is_busy(database):
    calls = []

    def count(session):
        calls.append(None)
        insert("counted")(session)

    errors = run_while_one_is_written(WriteGroups(database), [count, fail_as_locked])

    assert [type(error) for error in errors] == [sqlite3.OperationalError] * 2
    assert len(calls) == 1
    assert read_keys(database) == {"key-first"}


def test_waiting_writes_fail_with_the_group_that_finds_the_database_unavailable(database):
    calls = []

    def fail(_session):
        calls.append(None)
        raise ConnectionRefusedError

    errors = run_while_one_is_written(WriteGroups(database), [fail] * 2 * MAX_GROUP)

    assert [type(error) for error in errors] == [ConnectionRefusedError] * 2 * MAX_GROUP
    assert len(calls) == 1
