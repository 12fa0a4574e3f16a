"""On PostgreSQL, no statement reads or changes the rows of another tenant."""

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.exc import DBAPIError

from backend.chassis.database.row_security import protect_children, protect_rows, protect_view
from backend.chassis.database.sessions import Database, open_database

pytestmark = pytest.mark.postgres

_TABLES = (
    "CREATE TABLE papers (id text PRIMARY KEY, tenant_id text, title text)",
    "CREATE TABLE lines (id text, paper_id text REFERENCES papers ON DELETE CASCADE, words text)",
    "CREATE VIEW titles AS SELECT title FROM papers",
    "CREATE FUNCTION count_papers() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM papers'",
    "INSERT INTO papers VALUES ('a', 'lab', 'of the lab'), ('b', 'hall', 'of the hall')",
    "INSERT INTO papers VALUES ('c', NULL, 'of nobody'), ('d', '', 'of the empty')",
    "INSERT INTO lines VALUES ('a1', 'a', 'lab words'), ('b1', 'b', 'hall words')",
)


@pytest.fixture
def papers(postgres_url) -> Database:
    database = open_database(postgres_url, "papers")
    with database.as_owner() as connection:
        for statement in _TABLES:
            connection.execute(sa.text(statement))
        with Operations.context(MigrationContext.configure(connection)):
            protect_rows("papers")
            protect_children("lines", "paper_id", "papers")
            protect_view("titles")
    yield database
    database.engine.dispose()


def execute(database: Database, tenant: str | None, statement: str) -> list[tuple]:
    with database.write(tenant) as session:
        result = session.execute(sa.text(statement))
        return sorted(map(tuple, result)) if result.returns_rows else [(result.rowcount,)]


@pytest.mark.parametrize(
    ("statement", "lab_rows", "rows_without_tenant"),
    [
        pytest.param("SELECT id FROM papers", [("a",)], [], id="all rows"),
        pytest.param("SELECT id FROM papers WHERE id = 'b'", [], [], id="other tenant's id"),
        pytest.param(
            "SELECT id FROM papers WHERE tenant_id = 'hall'", [], [], id="other tenant's tenant_id"
        ),
        pytest.param("SELECT id FROM papers WHERE true OR id = 'b'", [("a",)], [], id="or true"),
        pytest.param("SELECT count(*) FROM papers", [(1,)], [(0,)], id="count"),
        pytest.param("SELECT max(title) FROM papers", [("of the lab",)], [(None,)], id="maximum"),
        pytest.param(
            "SELECT id FROM papers UNION ALL SELECT id FROM papers WHERE tenant_id <> 'lab'",
            [("a",)],
            [],
            id="union",
        ),
        pytest.param("SELECT words FROM lines", [("lab words",)], [], id="child rows"),
        pytest.param(
            "SELECT words FROM lines WHERE paper_id = 'b'", [], [], id="other tenant's child rows"
        ),
        pytest.param(
            "SELECT p.id FROM papers p RIGHT JOIN lines l ON l.paper_id = p.id",
            [("a",)],
            [],
            id="outer join",
        ),
        pytest.param("SELECT title FROM titles", [("of the lab",)], [], id="view"),
        pytest.param("SELECT count_papers()", [(1,)], [(0,)], id="function"),
        pytest.param(
            "WITH taken AS (DELETE FROM papers RETURNING id) SELECT id FROM taken",
            [("a",)],
            [],
            id="delete returning",
        ),
        pytest.param("UPDATE papers SET title = 'mine'", [(1,)], [(0,)], id="update all"),
        pytest.param(
            "UPDATE papers SET title = '' WHERE id = 'b'",
            [(0,)],
            [(0,)],
            id="update other tenant's row",
        ),
        pytest.param(
            "DELETE FROM papers WHERE id = 'b'", [(0,)], [(0,)], id="delete other tenant's row"
        ),
        pytest.param("DELETE FROM lines", [(1,)], [(0,)], id="delete child rows"),
        pytest.param(
            "INSERT INTO papers VALUES ('b', 'lab', 'x') ON CONFLICT DO NOTHING RETURNING title",
            [],
            DBAPIError,
            id="conflict with other tenant's id",
        ),
    ],
)
def test_statements_affect_rows_of_the_own_tenant_only(
    papers, statement, lab_rows, rows_without_tenant
):
    assert execute(papers, "lab", statement) == lab_rows
    if rows_without_tenant is DBAPIError:
        with pytest.raises(DBAPIError, match="row-level security"):
            execute(papers, None, statement)
    else:
        assert execute(papers, None, statement) == rows_without_tenant

    assert ("b", "of the hall") in execute(papers, "hall", "SELECT id, title FROM papers")
    assert execute(papers, "hall", "SELECT words FROM lines") == [("hall words",)]


@pytest.mark.slow
@pytest.mark.parametrize("tenant", ["lab", None, ""])
@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("INSERT INTO papers VALUES ('n', 'hall', 'planted')", id="other tenant"),
        pytest.param("INSERT INTO papers VALUES ('n', NULL, 'planted')", id="null tenant"),
        pytest.param("INSERT INTO papers VALUES ('n', '', 'planted')", id="empty tenant"),
        pytest.param(
            "INSERT INTO lines VALUES ('n', 'b', 'planted')", id="child of other tenant's row"
        ),
        pytest.param(
            "INSERT INTO papers VALUES ('b', 'lab') ON CONFLICT (id) DO UPDATE SET title = ''",
            id="upsert over other tenant's row",
        ),
    ],
)
def test_insert_for_another_tenant_is_rejected(papers, tenant, statement):
    with pytest.raises(DBAPIError, match="row-level security"):
        execute(papers, tenant, statement)


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("UPDATE papers SET tenant_id = 'hall'", id="change tenant"),
        pytest.param("UPDATE lines SET paper_id = 'b'", id="change parent"),
    ],
)
def test_moving_a_row_to_another_tenant_is_rejected(papers, statement):
    with pytest.raises(DBAPIError, match="row-level security"):
        execute(papers, "lab", statement)


@pytest.mark.slow
@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE papers DISABLE ROW LEVEL SECURITY",
        "DROP POLICY tenant ON papers",
        "CREATE POLICY mine ON papers USING (true)",
        "TRUNCATE papers CASCADE",
        "DROP TABLE lines",
        "CREATE TABLE own (id text)",
        "CREATE VIEW own AS SELECT * FROM papers",
        "ALTER TABLE papers OWNER TO CURRENT_USER",
        "COPY papers TO PROGRAM 'true'",
    ],
)
def test_service_role_cannot_change_the_schema(papers, statement):
    with pytest.raises(DBAPIError, match=r"must be owner|permission denied"):
        execute(papers, "lab", statement)


def test_resetting_role_or_settings_does_not_bypass_row_security(papers):
    for statement in ("RESET ROLE", "RESET ALL", "SET SESSION row_security = off; RESET ROLE"):
        with papers.write("lab") as session:
            session.execute(sa.text(statement))
            try:
                rows = session.execute(sa.text("SELECT id FROM papers")).all()
            except DBAPIError as error:  # row_security off: an error instead of a filter
                assert "row-level security" in str(error)  # noqa: PT017
                session.rollback()
            else:
                assert [tuple(row) for row in rows] in ([("a",)], [])


def test_reused_connection_has_no_tenant(papers):
    for _ in range(3):
        assert execute(papers, "lab", "SELECT id FROM papers") == [("a",)]
        assert execute(papers, None, "SELECT id FROM papers") == []
        assert len(execute(papers.across_tenants(), None, "SELECT id FROM papers")) == 4
        assert execute(papers, None, "SELECT id FROM papers") == []


def test_session_across_tenants_can_be_restricted_to_one(papers):
    all_tenants = papers.across_tenants()

    assert len(execute(all_tenants, None, "SELECT id FROM papers")) == 4
    assert execute(all_tenants, "hall", "SELECT id FROM papers") == [("b",)]
    with pytest.raises(DBAPIError, match="row-level security"):
        execute(all_tenants, "hall", "INSERT INTO papers VALUES ('n', 'lab', 'planted')")


def test_services_in_one_database_cannot_read_each_others_tables(papers, postgres_url):
    other = open_database(postgres_url, "other")
    with other.as_owner():
        pass

    with pytest.raises(DBAPIError, match="permission denied for schema"):
        execute(other, "lab", "SELECT id FROM papers.papers")
    other.engine.dispose()
