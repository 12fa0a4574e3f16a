"""What is kept before tables are migrated, who migrates, and the way back."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from backend.chassis.database.migrations import TablesAreNewer, revisions
from backend.chassis.database.sessions import migrations_of, open_database
from backend.operations.backup import __main__ as command
from backend.operations.backup.installation import connected, revision_in
from backend.operations.backup.schema_at_revision import shapes
from tests import samples

_BEFORE, _NEWEST = revisions(migrations_of("agent"))[-2:]


@pytest.fixture
def database_url(each_database_url):
    return each_database_url


@pytest.fixture
def filled(database_url):
    """The agent's tables as the release before had them, and what is in them."""
    database = open_database(database_url, "agent")
    database.migrate("agent", _BEFORE)
    with database.as_owner() as connection:
        samples.fill(connection, "agent", _BEFORE)
    database.engine.dispose()
    return contents(database_url, _BEFORE)


@pytest.fixture
def typed(database_url, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", database_url)

    def type_in(*words):
        return command.main(list(words)), "".join(capsys.readouterr())

    return type_in


def contents(url, revision):
    with connected(url, "agent") as connection:
        assert revision_in(connection, "agent") == revision
        return samples.contents(connection, "agent", shapes("agent", revision))


def migrate(url):
    database = open_database(url, "agent")
    try:
        return database.migrate("agent")
    finally:
        database.engine.dispose()


def test_of_several_that_start_at_once_one_migrates_and_all_find_it_done(
    database_url, filled, typed
):
    with ThreadPoolExecutor(5) as starting:
        assert set(starting.map(migrate, [database_url] * 5)) == {_NEWEST}

    code, _ = typed("undo-migration", "agent")
    assert code == 0
    assert contents(database_url, _BEFORE) == filled  # the copy is not one of migrated tables


def test_of_several_that_start_at_once_one_makes_the_tables(database_url):
    with ThreadPoolExecutor(5) as starting:
        assert set(starting.map(migrate, [database_url] * 5)) == {_NEWEST}


def test_a_migration_is_undone_and_what_was_written_since_is_set_aside(database_url, filled, typed):
    assert typed("undo-migration") == (0, "There are no copies.\n")
    migrate(database_url)
    with connected(database_url, "agent") as connection, connection.begin():
        connection.execute(
            sa.text("SET search_path TO agent" if _is_server(connection) else "SELECT 1")
        )
        connection.execute(sa.text("DELETE FROM messages"))

    assert _NEWEST in typed("undo-migration")[1]
    code, said = typed("undo-migration", "agent")

    assert (code, f"undone{'_' if 'schema' in said else '-'}{_NEWEST}" in said) == (0, True)
    assert contents(database_url, _BEFORE) == filled
    assert typed("undo-migration", "agent")[0] == 1  # there is no other copy
    migrate(database_url)
    typed("undo-migration", "agent")
    assert contents(database_url, _BEFORE) == filled


def test_tables_that_a_newer_release_has_migrated_are_refused_with_advice(database_url):
    database = open_database(database_url, "agent")
    database.migrate("agent")
    with database.as_owner() as connection:
        connection.execute(sa.text("UPDATE alembic_version_agent SET version_num = '9999'"))

    with pytest.raises(TablesAreNewer, match="at 9999, which a newer release made"):
        database.migrate("agent")
    database.engine.dispose()


def _is_server(connection):
    return connection.dialect.name == "postgresql"
