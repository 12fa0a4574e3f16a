"""Database sessions and transactions."""

import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from backend.chassis.database.sessions import acquire_transaction_lock, open_database
from backend.chassis.database.types import UtcDateTime


@pytest.fixture
def database_url(each_database_url):
    return each_database_url


@pytest.fixture
def counter(database):
    with database.as_owner() as connection:
        connection.exec_driver_sql("CREATE TABLE counter (n INTEGER NOT NULL)")
        connection.exec_driver_sql("INSERT INTO counter VALUES (0)")
    return database


def test_concurrent_increments_under_a_transaction_lock_are_not_lost(counter):
    def increment() -> None:
        for _ in range(20):
            with counter.write() as session:
                acquire_transaction_lock(session, "counter")
                value = session.scalar(sa.text("SELECT n FROM counter"))
                session.execute(sa.text("UPDATE counter SET n = :n"), {"n": value + 1})

    threads = [threading.Thread(target=increment) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with counter.read() as session:
        assert session.scalar(sa.text("SELECT n FROM counter")) == 80


def test_exception_rolls_the_transaction_back(counter):
    def fail_after_update() -> None:
        with counter.write() as session:
            session.execute(sa.text("UPDATE counter SET n = 5"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_update()

    with counter.read() as session:
        assert session.scalar(sa.text("SELECT n FROM counter")) == 0


def test_in_memory_database_is_rejected():
    with pytest.raises(ValueError, match="Name a file"):
        open_database("sqlite://", "things")


def test_datetimes_are_returned_in_utc_and_naive_ones_are_rejected(database):
    table = sa.Table("times", sa.MetaData(), sa.Column("at", UtcDateTime))
    with database.as_owner() as connection:
        table.create(connection)
    noon = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))

    with database.write() as session:
        session.execute(sa.insert(table).values(at=noon))
    with database.read() as session:
        assert session.scalar(sa.select(table.c.at)) == datetime(2026, 1, 1, 10, tzinfo=UTC)
    with pytest.raises(sa.exc.StatementError), database.write() as session:
        session.execute(sa.insert(table).values(at=datetime(2026, 1, 1)))  # noqa: DTZ001
