"""The tables that the migrations make are those that the store speaks of, tenant by tenant."""

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from backend.chassis.database.sessions import open_database
from backend.services.auth.app import create_app
from backend.services.auth.store.base import Base


@pytest.fixture
def database_url(each_database_url):
    return each_database_url


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
