"""Tables of every earlier version come up to today's with what is in them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from backend.chassis.database import open_database
from backend.services.auth import migrations
from backend.services.auth.app import create_app
from backend.services.auth.store.base import Base

REVISIONS = sorted(
    path.name.partition("_")[0] for path in Path(migrations.__file__).parent.glob("[0-9]*.py")
)
_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
_SAMPLES = {str: "1", int: 1, bool: False, bytes: b"1", dict: {}, datetime: _NOON}


@pytest.fixture
def database_url(each_database_url):
    return each_database_url


def fill(connection: sa.Connection) -> dict[str, dict[str, object]]:
    """One row for each table; what refers to another row refers to the one there is."""
    tables = sa.MetaData()
    tables.reflect(connection)
    rows = {}
    for table in tables.sorted_tables:
        if table.name.startswith("alembic"):
            continue
        rows[table.name] = {column.name: _sample(column) for column in table.columns}
        connection.execute(sa.insert(table).values(rows[table.name]))
    return rows


def _sample(column: sa.Column) -> object:
    if isinstance(column.type, sa.DateTime):
        return _NOON
    if isinstance(column.type, sa.JSON):
        return {}
    return _SAMPLES[column.type.python_type]


@pytest.mark.parametrize("revision", REVISIONS)
def test_tables_of_an_earlier_version_come_up_with_what_is_in_them(database_url, revision):
    database = open_database(database_url, "auth")
    database.migrate("auth", revision)
    with database.as_owner() as connection:
        before = fill(connection)

    database.migrate("auth")
    database.migrate("auth")

    with database.as_owner() as connection:
        tables = sa.MetaData()
        tables.reflect(connection)
        for name, row in before.items():
            table = tables.tables[name]
            (after,) = connection.execute(sa.select(table)).mappings()
            kept = {column: value for column, value in row.items() if column in after}
            assert {column: _plain(after[column]) for column in kept} == kept
    database.engine.dispose()


def _plain(value: object) -> object:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def test_the_newest_tables_are_those_that_the_store_speaks_of(database_url):
    database = open_database(database_url, "auth")
    database.migrate("auth")

    with database.as_owner() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        differences = [
            each
            for each in compare_metadata(context, Base.metadata)
            if each[0] not in ("remove_table", "remove_index", "remove_constraint")
            and each[0] != "add_constraint"
        ]

    assert differences == []
    database.engine.dispose()


@pytest.mark.postgres
def test_a_session_within_a_tenant_sees_that_tenant_alone(make_settings, clock, postgres_url):
    settings = make_settings(DATABASE_URL=postgres_url)
    client = create_app(settings, clock.now).test_client()
    for name in ("ada", "bob"):
        client.post("/register", json={"username": name, "password": "seven small boats"})
    database = open_database(postgres_url, "auth")

    with database.across_tenants().read() as session:
        everything = session.execute(sa.text("SELECT tenant_id, user_id FROM memberships")).all()
    tenant, owner = everything[0]
    with database.read(tenant) as session:
        members = session.execute(sa.text("SELECT user_id FROM memberships")).scalars().all()
        tenants = session.execute(sa.text("SELECT id FROM tenants")).scalars().all()
        trail = session.execute(sa.text("SELECT DISTINCT tenant_id FROM audit_records")).all()
    with database.read() as session:
        unscoped = [
            session.scalar(sa.text(f"SELECT count(*) FROM {table}"))  # noqa: S608
            for table in ("memberships", "tenants", "audit_records")
        ]

    assert len(everything) == 3
    assert (members, tenants) == ([owner], [tenant])
    assert trail in ([], [(tenant,)])
    assert unscoped == [0, 0, 0]
