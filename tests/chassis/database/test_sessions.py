"""Transactions hold, migrations run once, and an old file is copied before it changes."""

import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from backend.chassis.database.sessions import UtcDateTime, open_database, take_turns


@pytest.fixture
def database_url(each_database_url):
    return each_database_url


@pytest.fixture
def counter(database):
    with database.as_owner() as connection:
        connection.exec_driver_sql("CREATE TABLE counter (n INTEGER NOT NULL)")
        connection.exec_driver_sql("INSERT INTO counter VALUES (0)")
    return database


def test_writers_that_read_first_and_take_turns_do_not_lose_each_others_work(counter):
    def count() -> None:
        for _ in range(20):
            with counter.write() as session:
                take_turns(session, "counter")
                seen = session.scalar(sa.text("SELECT n FROM counter"))
                session.execute(sa.text("UPDATE counter SET n = :n"), {"n": seen + 1})

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with counter.read() as session:
        assert session.scalar(sa.text("SELECT n FROM counter")) == 80


def test_an_exception_takes_everything_back(counter):
    def half_way() -> None:
        with counter.write() as session:
            session.execute(sa.text("UPDATE counter SET n = 5"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half_way()

    with counter.read() as session:
        assert session.scalar(sa.text("SELECT n FROM counter")) == 0


def test_a_database_in_memory_is_refused():
    with pytest.raises(ValueError, match="name a file"):
        open_database("sqlite://", "things")


def test_times_come_back_in_utc_and_a_time_without_a_zone_is_refused(database):
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
