"""Writes that wait at the same time share a transaction, and fail alone."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest
from sqlalchemy import event, text

from backend.chassis.database.sessions import open_database
from backend.chassis.database.write_groups import WriteGroups
from tests.databases import create_sqlite_database

COUNT = 20


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

    def run(number, write):
        try:
            groups.write("t1", write, str(number))
        except Exception as error:  # noqa: BLE001 - returned
            return error
        return None

    with ThreadPoolExecutor(COUNT + 1) as pool:
        first = pool.submit(run, hold)
        assert entered.wait(60)
        others = [pool.submit(run, number, write) for number, write in enumerate(writes)]
        while len(groups._waiting) < len(writes):
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
