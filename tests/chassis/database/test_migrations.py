"""Concurrent migrations, the copy made before a migration, and its restoration."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from backend.chassis.database.migration_folders import get_migrations_folder, list_revisions
from backend.chassis.database.migrations import NewerSchemaError
from backend.chassis.database.sessions import open_database
from backend.operations.backup import __main__ as command
from backend.operations.backup.format.schema_at_revision import get_tables
from backend.operations.backup.installation import connect_as_owner, get_revision
from tests import samples

_BEFORE, _NEWEST = list_revisions(get_migrations_folder("agent"))[-2:]


@pytest.fixture
def database_url(each_database_url):
    return each_database_url


@pytest.fixture
def old_contents(database_url):
    """Sample rows in the agent's tables at the revision before the newest."""
    database = open_database(database_url, "agent")
    database.migrate("agent", _BEFORE)
    with database.as_owner() as connection:
        samples.fill(connection, "agent", _BEFORE)
    database.engine.dispose()
    return read_contents(database_url, _BEFORE)


@pytest.fixture
def run_command(database_url, tmp_path, monkeypatch, capsys):
    """Function that runs a backup command and returns its exit code and output."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", database_url)

    def run(*arguments):
        return command.main(list(arguments)), "".join(capsys.readouterr())

    return run


def read_contents(url, revision):
    with connect_as_owner(url, "agent") as connection:
        assert get_revision(connection, "agent") == revision
        return samples.contents(connection, "agent", get_tables("agent", revision))


def migrate(url):
    database = open_database(url, "agent")
    try:
        return database.migrate("agent")
    finally:
        database.engine.dispose()


def test_concurrent_starts_migrate_once(database_url, old_contents, run_command):
    with ThreadPoolExecutor(5) as executor:
        assert set(executor.map(migrate, [database_url] * 5)) == {_NEWEST}

    code, _ = run_command("undo-migration", "agent")
    assert code == 0
    assert (
        read_contents(database_url, _BEFORE) == old_contents
    )  # the copy is not one of migrated tables


def test_concurrent_starts_create_the_tables_once(database_url):
    with ThreadPoolExecutor(5) as executor:
        assert set(executor.map(migrate, [database_url] * 5)) == {_NEWEST}


@pytest.mark.slow
def test_undo_migration_restores_the_copy_and_keeps_the_newer_rows_aside(
    database_url, old_contents, run_command
):
    assert run_command("undo-migration") == (0, "There are no copies.\n")
    migrate(database_url)
    with connect_as_owner(database_url, "agent") as connection, connection.begin():
        connection.execute(
            sa.text("SET search_path TO agent" if _is_postgresql(connection) else "SELECT 1")
        )
        connection.execute(sa.text("DELETE FROM messages"))

    assert _NEWEST in run_command("undo-migration")[1]
    code, output = run_command("undo-migration", "agent")

    assert (code, f"undone{'_' if 'schema' in output else '-'}{_NEWEST}" in output) == (0, True)
    assert read_contents(database_url, _BEFORE) == old_contents
    assert run_command("undo-migration", "agent")[0] == 1  # there is no other copy
    migrate(database_url)
    run_command("undo-migration", "agent")
    assert read_contents(database_url, _BEFORE) == old_contents


def test_migrate_rejects_tables_of_a_newer_release(database_url):
    database = open_database(database_url, "agent")
    database.migrate("agent")
    with database.as_owner() as connection:
        connection.execute(sa.text("UPDATE alembic_version_agent SET version_num = '9999'"))

    with pytest.raises(NewerSchemaError, match="at revision 9999, which a newer release made"):
        database.migrate("agent")
    database.engine.dispose()


def _is_postgresql(connection):
    return connection.dialect.name == "postgresql"
