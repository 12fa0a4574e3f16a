"""Tables of every earlier revision come up to today's with what is in them."""

import pytest

from backend.chassis.database.migrations import revisions
from backend.chassis.database.sessions import migrations_of, open_database, services_with_tables
from backend.operations.backup.installation import connected
from backend.operations.backup.schema_at_revision import Table, shapes
from tests import samples

_SERVICES = services_with_tables()
_EVERY = [(name, each) for name in _SERVICES for each in revisions(migrations_of(name))]
_LATEST = {name: revisions(migrations_of(name))[-2:] for name in _SERVICES}
_OLDEST_AND_LAST = [
    (name, each)
    for name in _SERVICES
    for each in (revisions(migrations_of(name))[0], _LATEST[name][0])
]
# What a migration changes on purpose: an answer that waited has no message to go on in.
_CHANGED = {"conversations.paused"}


def filled(url, service, revision):
    """The service's tables at *revision*, with something in them."""
    database = open_database(url, service)
    database.migrate(service, revision)
    with database.as_owner() as connection:
        samples.fill(connection, service, revision)
    return database


def common(service, old, new):
    """The tables of *old*, with those columns that are still there in *new*."""
    present = {
        f"{table.name}.{column.name}" for table in shapes(service, new) for column in table.columns
    }
    for table in shapes(service, old):
        names = {f"{table.name}.{column.name}": column for column in table.columns}
        columns = [column for name, column in names.items() if name in present - _CHANGED]
        if columns:
            yield Table(table.name, tuple(columns))


def rows_in(url, service, tables):
    with connected(url, service) as connection:
        return samples.contents(connection, service, tables)


@pytest.fixture
def check(tmp_path):
    def come_up(url, service, revision):
        database = filled(url, service, revision)
        newest = _LATEST[service][1]
        tables = list(common(service, revision, newest))
        before = rows_in(url, service, tables)
        assert all(before.values())

        assert database.migrate(service) == newest
        assert database.migrate(service) == newest

        assert rows_in(url, service, tables) == before
        database.engine.dispose()

    return come_up


@pytest.mark.parametrize(("service", "revision"), _EVERY)
def test_tables_of_every_revision_come_up_with_what_is_in_them(
    check, database_url, service, revision
):
    check(database_url, service, revision)


@pytest.mark.postgres
@pytest.mark.parametrize(("service", "revision"), _OLDEST_AND_LAST)
def test_so_they_do_on_postgresql(check, postgres_url, service, revision):
    check(postgres_url, service, revision)
