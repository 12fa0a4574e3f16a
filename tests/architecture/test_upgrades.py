"""Migrations from every earlier revision keep the existing rows."""

import pytest

from backend.chassis.database.migration_folders import (
    get_migrations_folder,
    list_revisions,
    list_services_with_tables,
)
from backend.chassis.database.sessions import open_database
from backend.operations.backup.format.schema_at_revision import Table, get_tables
from backend.operations.backup.installation import connect_as_owner
from tests import samples

_SERVICES = list_services_with_tables()
_LATEST = {name: list_revisions(get_migrations_folder(name))[-2:] for name in _SERVICES}
_OLDEST_AND_PREVIOUS = [
    (name, revision)
    for name in _SERVICES
    for revision in sorted({list_revisions(get_migrations_folder(name))[0], _LATEST[name][0]})
]
_OTHERS = [
    pytest.param(name, revision, marks=pytest.mark.slow)
    for name in _SERVICES
    for revision in list_revisions(get_migrations_folder(name))
    if (name, revision) not in _OLDEST_AND_PREVIOUS
]
# Columns that a migration changes on purpose: a paused run has no message to resume in.
_CHANGED = {"conversations.paused"}


def create_database(url, service, revision):
    """Create the service's tables at *revision* with sample rows."""
    database = open_database(url, service)
    database.migrate(service, revision)
    with database.as_owner() as connection:
        samples.fill(connection, service, revision)
    return database


def common_columns(service, old, new):
    """Yield the tables of *old* with the columns that still exist in *new*."""
    present = {
        f"{table.name}.{column.name}"
        for table in get_tables(service, new)
        for column in table.columns
    }
    for table in get_tables(service, old):
        names = {f"{table.name}.{column.name}": column for column in table.columns}
        columns = [column for name, column in names.items() if name in present - _CHANGED]
        if columns:
            yield Table(table.name, tuple(columns))


def rows_in(url, service, tables):
    with connect_as_owner(url, service) as connection:
        return samples.contents(connection, service, tables)


@pytest.fixture
def check(tmp_path):
    def migrate_and_compare(url, service, revision):
        database = create_database(url, service, revision)
        newest = _LATEST[service][-1]
        tables = list(common_columns(service, revision, newest))
        before = rows_in(url, service, tables)
        assert all(before.values())

        assert database.migrate(service) == newest
        assert database.migrate(service) == newest

        assert rows_in(url, service, tables) == before
        database.engine.dispose()

    return migrate_and_compare


@pytest.mark.parametrize(("service", "revision"), [*_OLDEST_AND_PREVIOUS, *_OTHERS])
def test_migration_from_every_revision_keeps_rows(check, database_url, service, revision):
    check(database_url, service, revision)


@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.parametrize(("service", "revision"), _OLDEST_AND_PREVIOUS)
def test_migration_keeps_rows_on_postgresql(check, postgres_url, service, revision):
    check(postgres_url, service, revision)
