"""The migrated schema matches the models, and row-level security isolates tenants."""

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from backend.chassis.database.sessions import open_database
from backend.services.auth.app import create_app
from backend.services.auth.store.base import Base
from tests.services.auth.api_user import ApiUser
from tests.services.auth.conftest import ADMIN_PASSWORD


@pytest.fixture
def database_url(each_database_url):
    return each_database_url


def test_migrated_schema_matches_the_models(database_url):
    database = open_database(database_url, "auth")
    database.migrate("auth")

    with database.as_owner() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        differences = [
            difference
            for difference in compare_metadata(context, Base.metadata)
            if difference[0] not in ("remove_table", "remove_index", "remove_constraint")
            and difference[0] != "add_constraint"
        ]

    assert differences == []
    database.engine.dispose()


@pytest.mark.postgres
def test_database_session_of_a_tenant_sees_only_that_tenant(make_settings, clock, postgres_url):
    settings = make_settings(DATABASE_URL=postgres_url)
    client = create_app(settings, clock.now).test_client()
    for name in ("ada", "bob"):
        client.post("/register", json={"username": name, "password": "seven small boats"})
    database = open_database(postgres_url, "auth")

    with database.across_tenants().read() as session:
        all_memberships = session.execute(
            sa.text("SELECT tenant_id, user_id FROM memberships")
        ).all()
    tenant, owner = all_memberships[0]
    with database.read(tenant) as session:
        members = session.execute(sa.text("SELECT user_id FROM memberships")).scalars().all()
        tenants = session.execute(sa.text("SELECT id FROM tenants")).scalars().all()
        audit_tenants = session.execute(
            sa.text("SELECT DISTINCT tenant_id FROM audit_records")
        ).all()
    with database.read() as session:
        counts_without_tenant = [
            session.scalar(sa.text(f"SELECT count(*) FROM {table}"))  # noqa: S608
            for table in ("memberships", "tenants", "audit_records")
        ]

    assert len(all_memberships) == 3
    assert (members, tenants) == ([owner], [tenant])
    assert audit_tenants in ([], [(tenant,)])
    assert counts_without_tenant == [0, 0, 0]


@pytest.mark.postgres
def test_database_session_of_a_tenant_sees_only_its_service_accounts_and_invitations(
    make_settings, clock, postgres_url
):
    settings = make_settings(DATABASE_URL=postgres_url)
    client = create_app(settings, clock.now).test_client()
    admin = ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)
    body = {"name": "channel", "permissions": ["rag:read"]}
    for name in ("one", "two"):
        tenant = client.post("/tenants", json={"name": name}, headers=admin.auth_headers).json
        admin = ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)
        headers = admin.auth_headers | {"X-Tenant-ID": tenant["id"]}
        account = client.post("/service-accounts", json=body, headers=headers).json
        guest = {"email": "guest@example.org"}
        invitation = client.post("/invitations", json=guest, headers=headers).json
    database = open_database(postgres_url, "auth")

    def read_ids(tenant_id):
        with database.read(tenant_id) as session:
            return [
                session.execute(sa.text(statement)).scalars().all()
                for statement in (
                    "SELECT id FROM service_accounts",
                    "SELECT account_id FROM service_account_keys",
                    "SELECT id FROM invitations",
                )
            ]

    expected = [[account["id"]], [account["id"]], [invitation["id"]]]
    assert read_ids(account["tenant_id"]) == expected
    assert read_ids(None) == [[], [], []]
    database.engine.dispose()
