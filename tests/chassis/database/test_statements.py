"""Compiled queries return instances as the ORM does."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import bindparam, select, update
from sqlalchemy.exc import IntegrityError, InvalidRequestError

from backend.chassis.database.sessions import open_database
from backend.chassis.database.statements import CompiledQuery, CompiledStatement
from backend.services.chat.store.tables import Contact
from tests.databases import create_sqlite_database

NOW = datetime(2030, 1, 31, tzinfo=UTC)
NEWEST = CompiledQuery(
    Contact, Contact.tenant_id == bindparam("tenant"), order_by=[Contact.created_at.desc()]
)


@pytest.fixture
def database(tmp_path):
    database = open_database(create_sqlite_database(tmp_path / "chat.db", "chat"), "chat")
    with database.write("t1") as session:
        for number in range(3):
            time = NOW + timedelta(hours=number)
            session.add(
                Contact(
                    id=f"cont_{number}",
                    tenant_id="t1",
                    name=f"Person {number}",
                    attributes={"number": number},
                    created_at=time,
                    updated_at=time,
                )
            )
    yield database
    database.engine.dispose()


def test_query_returns_first_instance_with_converted_columns(database):
    with database.read("t1") as session:
        found = NEWEST.find_first(session, {"tenant": "t1"})

        assert (found.id, found.attributes) == ("cont_2", {"number": 2})
        assert found.created_at == NOW + timedelta(hours=2)
        assert found is session.get(Contact, "cont_2")


def test_query_without_row_returns_none(database):
    with database.read("t2") as session:
        assert NEWEST.find_first(session, {"tenant": "t2"}) is None


def test_changes_of_found_instance_are_stored(database):
    with database.write("t1") as session:
        NEWEST.find_first(session, {"tenant": "t1"}).name = "Ada"

    with database.read("t1") as session:
        assert session.get(Contact, "cont_2").name == "Ada"


def test_query_flushes_changes_and_returns_instance_of_session(database):
    with database.write("t1") as session:
        known = session.get(Contact, "cont_0")
        known.created_at = NOW + timedelta(days=1)

        assert NEWEST.find_first(session, {"tenant": "t1"}) is known


def test_query_reads_known_instance_again(database):
    with database.write("t1") as session:
        known = session.get(Contact, "cont_2")
        session.execute(
            update(Contact)
            .where(Contact.id == "cont_2")
            .values(name="Grace")
            .execution_options(synchronize_session=False)
        )

        assert NEWEST.find_first(session, {"tenant": "t1"}).name == "Grace"
        assert known.name == "Grace"


def test_expired_instance_gets_columns_of_row(database):
    with database.read("t1") as session:
        known = session.get(Contact, "cont_2")
        session.expire(known)

        assert NEWEST.find_first(session, {"tenant": "t1"}) is known
        assert known.name == "Person 2"


def test_on_load_is_called_for_each_found_instance(database):
    loaded = []
    query = CompiledQuery(
        Contact,
        Contact.id == bindparam("id"),
        on_load=lambda _, contact: loaded.append(contact.id),
    )

    with database.read("t1") as session:
        known = session.get(Contact, "cont_0")
        query.find_first(session, {"id": known.id})
        query.find_first(session, {"id": "cont_1"})

    assert loaded == ["cont_0", "cont_1"]


def execute_after_a_failed_flush(database):
    with database.write("t1") as session:
        session.add(Contact(id="cont_0", tenant_id="t1", created_at=NOW, updated_at=NOW))
        with suppress(IntegrityError):
            session.flush()
        CompiledStatement(select(Contact.__table__.c.id)).execute(session, {})


def test_statement_in_a_transaction_that_was_rolled_back_raises_an_error(database):
    with pytest.raises(InvalidRequestError, match="closed transaction"):
        execute_after_a_failed_flush(database)


def test_statement_after_a_savepoint_that_was_rolled_back_sees_the_transaction(database):
    statement = CompiledStatement(select(Contact.__table__.c.id))
    with database.write("t1") as session:
        session.get(Contact, "cont_0").name = "Ada"
        with pytest.raises(IntegrityError), session.begin_nested():
            session.add(Contact(id="cont_1", tenant_id="t1", created_at=NOW, updated_at=NOW))

        assert len(statement.execute(session, {}).all()) == 3

    with database.read("t1") as session:
        assert session.get(Contact, "cont_0").name == "Ada"
