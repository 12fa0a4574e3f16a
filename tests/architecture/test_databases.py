"""All services in one PostgreSQL database: separate schemas and isolated tenants."""

from importlib.util import find_spec

import pytest
import sqlalchemy as sa

from backend.chassis.catalog import CATALOG
from backend.chassis.database.sessions import open_database

pytestmark = pytest.mark.postgres

# Objects of a schema that would expose rows of a tenant to others.
_LEAKS_SQL = """
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE n.nspname = :schema AND (
  c.relkind IN ('r', 'p') AND NOT relrowsecurity AND EXISTS (
    SELECT 1 FROM pg_attribute WHERE attrelid = c.oid AND attname = 'tenant_id'
  )
  OR c.relkind = 'v' AND NOT coalesce(reloptions @> ARRAY['security_invoker=true'], false)
  OR c.relkind = 'm'
)
UNION ALL SELECT n.nspname || '.' || p.proname FROM pg_proc p JOIN pg_namespace n
ON n.oid = p.pronamespace WHERE n.nspname = :schema AND p.prosecdef
"""
# Functions that run as the owner and return nothing of other tenants, with tests of their own.
_REVIEWED_FUNCTIONS = {
    "chat.chat_find_messages",  # ADR 83, tests/services/chat/test_search_function.py
    "packages.packages_find_rows",  # ADR 87, tests/services/packages/test_search_function.py
}
_OWNED_BY_APP_ROLE_SQL = r"""
SELECT count(*) FROM pg_class JOIN pg_roles r ON r.oid = relowner WHERE rolname LIKE '%\_app'
"""
_SERVICES_WITH_TABLES = [
    entry.name
    for entry in CATALOG
    if find_spec(f"backend.services.{entry.name}.migrations") is not None
]


@pytest.fixture
def one_database(postgres_url):
    """The tables of all services, in one PostgreSQL database."""
    for name in _SERVICES_WITH_TABLES:
        open_database(postgres_url, name).migrate(name)
    with sa.create_engine(postgres_url).connect() as connection:
        yield connection


def test_services_share_a_database_and_isolate_tenants(one_database):
    schemas = set(one_database.scalars(sa.text("SELECT nspname FROM pg_namespace")))
    leaks = {
        leak
        for name in _SERVICES_WITH_TABLES
        for leak in one_database.scalars(sa.text(_LEAKS_SQL), {"schema": name})
    }

    assert {"auth", "rag", "agent"} <= schemas
    assert leaks == _REVIEWED_FUNCTIONS
    assert one_database.scalar(sa.text(_OWNED_BY_APP_ROLE_SQL)) == 0
