"""Copy the content of a service's tables, then migrate them with Alembic.

Separate from sessions.py because Alembic is slow to import, and most starts have nothing to
migrate.
"""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from backend.chassis.database.migration_folders import list_revisions
from backend.chassis.files import publish_file
from backend.chassis.settings import SettingsError

_log = logging.getLogger(__name__)


class NewerSchemaError(SettingsError):
    """A newer release has migrated the tables to a revision that this one does not have."""

    def __init__(self, service: str, revision: str) -> None:
        super().__init__(
            f"The tables of {service} are at revision {revision}, which a newer release made. Run "
            "that release, or undo its migration: docs/operations/upgrade.md."
        )


def migrate_service(
    connection: Connection, service: str, folder: Path, target_revision: str
) -> None:
    """Copy the tables of *service*, then migrate them to *target_revision*.

    *connection* holds a lock, so that one process at a time migrates. Processes that waited for
    the lock find nothing to do.

    Raises:
        NewerSchemaError: the tables are at a revision that is not in *folder*.
    """
    revision = get_current_revision(connection, service)
    if revision == target_revision:
        return
    if revision is not None:
        if revision not in list_revisions(folder):
            raise NewerSchemaError(service, revision)
        copy_tables(connection, service, target_revision)
    run_migrations(connection, service, folder, target_revision)


def get_current_revision(connection: Connection, service: str) -> str | None:
    """Return the service's Alembic revision, or None if it has no tables."""
    table = f"alembic_version_{service}"
    if not inspect(connection).has_table(table):
        return None
    revision = connection.scalar(text(f"SELECT version_num FROM {table}"))  # noqa: S608
    return None if revision is None else str(revision)


def run_migrations(
    connection: Connection, service: str, folder: Path, target_revision: str
) -> None:
    """Run the revisions in *folder* from the current one to *target_revision*."""
    config = Config()
    for option in ("script_location", "version_locations"):
        config.set_main_option(option, str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    with EnvironmentContext(
        config, scripts, fn=lambda current, _: scripts._upgrade_revs(target_revision, current)
    ) as environment:
        environment.configure(connection=connection, version_table=f"alembic_version_{service}")
        environment.run_migrations()


def copy_tables(connection: Connection, service: str, revision: str) -> None:
    """Copy the content of *service*'s tables before they are migrated to *revision*.

    On PostgreSQL into another schema, on SQLite into another file.
    """
    if connection.dialect.name == "postgresql":
        _copy_schema(connection, service, get_copy_schema_name(service, revision))
    else:
        file = Path(str(connection.engine.url.database))
        _copy_file(file, get_copy_path(file, revision))


def get_copy_schema_name(service: str, revision: str) -> str:
    """Return the PostgreSQL schema for the copy of *service*'s tables from before *revision*."""
    return f"{service}_before_{revision}"


def get_copy_path(file: Path, revision: str) -> Path:
    """Return the path of the copy of SQLite database *file* that is made before *revision*."""
    return file.with_name(f"{file.name}.before-{revision}")


def _copy_schema(connection: Connection, schema: str, copy: str) -> None:
    """Copy the tables within the migration's transaction, and drop earlier copies.

    The server copies the rows itself, which is fast.
    """
    inspector = inspect(connection)
    for name in inspector.get_schema_names():
        if name.startswith(f"{schema}_before_"):
            connection.execute(text(f'DROP SCHEMA "{name}" CASCADE'))
    connection.execute(text(f'CREATE SCHEMA "{copy}"'))
    for table in inspector.get_table_names(schema):
        statement = f'CREATE TABLE "{copy}"."{table}" AS TABLE "{schema}"."{table}"'
        connection.execute(text(statement))
    _log.info("copied the tables to schema %s before migrating them", copy)


def _copy_file(file: Path, copy: Path) -> None:
    """Copy the database through a second connection, while the migration's own blocks writers.

    The second connection reads the committed state.
    """
    draft = copy.with_name(f"{copy.name}.part")
    draft.unlink(missing_ok=True)
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(draft)) as target:
        source.backup(target)
    publish_file(draft, copy)
    _log.info("copied the database to %s before migrating it", copy.name)
