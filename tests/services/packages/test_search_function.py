"""The function that searches on PostgreSQL returns rows of the session's tenant only."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import ARRAY, BigInteger, Text, func, literal, select, text

from backend.chassis.database.sessions import open_database
from backend.services.packages.store.package_search import MAX_ROW
from backend.services.packages.store.tables import PackageRow

pytestmark = pytest.mark.postgres

NOW = datetime(2030, 1, 1, tzinfo=UTC)
TENANTS = ("a", "b", "a' | 'x", "a\\")
BLOCK = 16_384


def build_package(row, tenant, words="parcel red"):
    return PackageRow(
        row=row,
        id=f"pkg_{row}",
        tenant_id=tenant,
        number=f"N{row}",
        carrier="ups",
        words=words,
        status="in_transit",
        created_by="ada",
        created_at=NOW + timedelta(seconds=row),
        updated_at=NOW,
    )


@pytest.fixture
def database(postgres_url):
    """Packages of four tenants; the row of each is the position of its tenant."""
    database = open_database(postgres_url, "packages")
    database.migrate("packages")
    for row, tenant in enumerate(TENANTS, 1):
        with database.write(tenant) as session:
            session.add(build_package(row, tenant))
    yield database
    database.engine.dispose()


def find(session, *words, low=0, high=MAX_ROW, limit=10, newest_first=True):
    array = literal(list(words), ARRAY(Text))
    call = func.packages_find_rows(array, low, high, limit, newest_first, type_=BigInteger())
    return list(session.scalars(select(call)))


@pytest.mark.parametrize("limit", [10, None])
def test_only_packages_of_the_tenant_are_found(database, limit):
    found = []
    for tenant in TENANTS:
        with database.read(tenant) as session:
            found.append(find(session, "par", "red", limit=limit))

    assert found == [[1], [2], [3], [4]]


def test_nothing_is_found_without_a_tenant(database):
    for unbound in (database, database.across_tenants()):
        with unbound.read() as session:
            assert find(session, "parcel") == []


def test_expressions_reach_no_other_tenant(database):
    with database.read("a") as session:
        for words in ("", "par' | 'par", "parcel':* | '", "\\", "'"):
            assert set(find(session, words)) <= {1}
        assert find(session) == []


def test_rows_of_several_blocks_are_found_in_order(database):
    rows = [BLOCK * block + 5 for block in range(4)]
    with database.write("a") as session:
        session.add_all([build_package(row, "a", "crate") for row in rows])

    with database.read("a") as session:
        assert find(session, "crate") == rows[::-1]
        assert find(session, "crate", newest_first=False) == rows
        assert find(session, "crate", limit=2) == rows[:1:-1]
        assert find(session, "crate", low=rows[1], high=rows[2]) == [rows[2], rows[1]]
        assert find(session, "crat", "red") == []


def test_changed_and_deleted_packages_are_found_by_their_present_words(database):
    with database.write("a") as session:
        session.scalars(select(PackageRow)).one().words = "crate"
    with database.read("a") as session:
        assert find(session, "parcel") == []
        assert find(session, "crate") == [1]
    with database.write("a") as session:
        session.delete(session.scalars(select(PackageRow)).one())
    with database.read("a") as session:
        assert find(session, "crate") == []


def test_search_reads_no_more_pages_with_many_packages_of_others(database):
    def count_pages():
        with database.read("a") as session:
            plan = session.scalar(
                text(
                    "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "
                    "SELECT packages_find_rows(ARRAY['parcel'], 0, 1000000, 10, true)"
                )
            )[0]["Plan"]
        return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]

    with database.as_owner() as connection:
        connection.execute(
            text(
                "INSERT INTO package_words (tenant_id, package_row, words) "
                "SELECT 'b', number, 'parcel red' FROM generate_series(10, 150000, 5) AS number"
            )
        )
        connection.execute(text("SELECT gin_clean_pending_list('ix_package_words_terms')"))
    count_pages()

    # Two searches in B-trees of three levels for the rows of the tenant, one in the index of terms.
    assert count_pages() < 20
