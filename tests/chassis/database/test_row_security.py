"""Under PostgreSQL no question, however it is put, shows or takes another tenant's rows."""

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


def asked(database: Database, tenant: str | None, statement: str) -> list[tuple]:
    with database.write(tenant) as session:
        result = session.execute(sa.text(statement))
        return sorted(map(tuple, result)) if result.returns_rows else [(result.rowcount,)]


@pytest.mark.parametrize(
    ("statement", "lab", "nobody"),
    [
        pytest.param("SELECT id FROM papers", [("a",)], [], id="all rows"),
        pytest.param("SELECT id FROM papers WHERE id = 'b'", [], [], id="by the other's id"),
        pytest.param("SELECT id FROM papers WHERE tenant_id = 'hall'", [], [], id="by tenant"),
        pytest.param("SELECT id FROM papers WHERE true OR id = 'b'", [("a",)], [], id="or true"),
        pytest.param("SELECT count(*) FROM papers", [(1,)], [(0,)], id="counted"),
        pytest.param("SELECT max(title) FROM papers", [("of the lab",)], [(None,)], id="greatest"),
        pytest.param(
            "SELECT id FROM papers UNION ALL SELECT id FROM papers WHERE tenant_id <> 'lab'",
            [("a",)],
            [],
            id="a union",
        ),
        pytest.param("SELECT words FROM lines", [("lab words",)], [], id="children alone"),
        pytest.param(
            "SELECT words FROM lines WHERE paper_id = 'b'", [], [], id="children of the other"
        ),
        pytest.param(
            "SELECT p.id FROM papers p RIGHT JOIN lines l ON l.paper_id = p.id",
            [("a",)],
            [],
            id="an outer join",
        ),
        pytest.param("SELECT title FROM titles", [("of the lab",)], [], id="a view"),
        pytest.param("SELECT count_papers()", [(1,)], [(0,)], id="a function"),
        pytest.param(
            "WITH taken AS (DELETE FROM papers RETURNING id) SELECT id FROM taken",
            [("a",)],
            [],
            id="deleted and returned",
        ),
        pytest.param("UPDATE papers SET title = 'mine'", [(1,)], [(0,)], id="all changed"),
        pytest.param("UPDATE papers SET title = '' WHERE id = 'b'", [(0,)], [(0,)], id="changed"),
        pytest.param("DELETE FROM papers WHERE id = 'b'", [(0,)], [(0,)], id="deleted"),
        pytest.param("DELETE FROM lines", [(1,)], [(0,)], id="children deleted"),
        pytest.param(
            "INSERT INTO papers VALUES ('b', 'lab', 'x') ON CONFLICT DO NOTHING RETURNING title",
            [],
            DBAPIError,
            id="a conflict with the other's id",
        ),
    ],
)
def test_only_the_rows_of_ones_tenant_are_shown_and_taken(papers, statement, lab, nobody):
    assert asked(papers, "lab", statement) == lab
    if nobody is DBAPIError:
        with pytest.raises(DBAPIError, match="row-level security"):
            asked(papers, None, statement)
    else:
        assert asked(papers, None, statement) == nobody

    assert ("b", "of the hall") in asked(papers, "hall", "SELECT id, title FROM papers")
    assert asked(papers, "hall", "SELECT words FROM lines") == [("hall words",)]


@pytest.mark.parametrize("tenant", ["lab", None, ""])
@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("INSERT INTO papers VALUES ('n', 'hall', 'planted')", id="planted"),
        pytest.param("INSERT INTO papers VALUES ('n', NULL, 'planted')", id="of nobody"),
        pytest.param("INSERT INTO papers VALUES ('n', '', 'planted')", id="of the empty tenant"),
        pytest.param("INSERT INTO lines VALUES ('n', 'b', 'planted')", id="below the other's"),
        pytest.param(
            "INSERT INTO papers VALUES ('b', 'lab') ON CONFLICT (id) DO UPDATE SET title = ''",
            id="over the other's",
        ),
    ],
)
def test_nothing_is_planted_with_another_tenant(papers, tenant, statement):
    with pytest.raises(DBAPIError, match="row-level security"):
        asked(papers, tenant, statement)


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("UPDATE papers SET tenant_id = 'hall'", id="given away"),
        pytest.param("UPDATE lines SET paper_id = 'b'", id="child moved"),
    ],
)
def test_nothing_is_moved_to_another_tenant(papers, statement):
    with pytest.raises(DBAPIError, match="row-level security"):
        asked(papers, "lab", statement)


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
def test_the_role_of_the_service_owns_nothing(papers, statement):
    with pytest.raises(DBAPIError, match=r"must be owner|permission denied"):
        asked(papers, "lab", statement)


def test_neither_resetting_the_role_nor_the_settings_leads_out(papers):
    for statement in ("RESET ROLE", "RESET ALL", "SET SESSION row_security = off; RESET ROLE"):
        with papers.write("lab") as session:
            session.execute(sa.text(statement))
            try:
                rows = session.execute(sa.text("SELECT id FROM papers")).all()
            except DBAPIError as error:  # row_security off: refused rather than filtered
                assert "row-level security" in str(error)  # noqa: PT017
                session.rollback()
            else:
                assert [tuple(row) for row in rows] in ([("a",)], [])


def test_a_connection_that_is_used_again_remembers_no_tenant(papers):
    for _ in range(3):
        assert asked(papers, "lab", "SELECT id FROM papers") == [("a",)]
        assert asked(papers, None, "SELECT id FROM papers") == []
        assert len(asked(papers.across_tenants(), None, "SELECT id FROM papers")) == 4
        assert asked(papers, None, "SELECT id FROM papers") == []


def test_who_works_across_tenants_may_still_be_held_to_one(papers):
    everywhere = papers.across_tenants()

    assert len(asked(everywhere, None, "SELECT id FROM papers")) == 4
    assert asked(everywhere, "hall", "SELECT id FROM papers") == [("b",)]
    with pytest.raises(DBAPIError, match="row-level security"):
        asked(everywhere, "hall", "INSERT INTO papers VALUES ('n', 'lab', 'planted')")


def test_services_in_one_database_do_not_reach_each_others_tables(papers, postgres_url):
    other = open_database(postgres_url, "other")
    with other.as_owner():
        pass

    with pytest.raises(DBAPIError, match="permission denied for schema"):
        asked(other, "lab", "SELECT id FROM papers.papers")
    other.engine.dispose()
