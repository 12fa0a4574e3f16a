"""Bring a service's tables up to date with its Alembic revisions.

A module of its own because Alembic is slow to import, and most starts find
nothing to do.
"""

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from backend.chassis.settings import SettingsError

_log = logging.getLogger(__name__)


class TablesAreNewer(SettingsError):
    """Another release has brought the tables to where this one cannot follow."""

    def __init__(self, service: str, revision: str) -> None:
        super().__init__(
            f"The tables of {service} are at {revision}, which a newer release made. Run that "
            "release, or go back: docs/operations/upgrade.md."
        )


def bring(connection: Connection, service: str, folder: Path, wanted: str) -> None:
    """Bring the tables of *service* to *wanted*, and keep a copy of what is in them before.

    *connection* holds the lock under which one process at a time does so: those that waited
    for it find nothing to do.
    """
    current = revision_of(connection, service)
    if current == wanted:
        return
    if current is not None:
        if current not in revisions(folder):
            raise TablesAreNewer(service, current)
        keep_copy(connection, service, wanted)
    upgrade(connection, service, folder, wanted)


def revisions(folder: Path) -> list[str]:
    """In their order; the files are named after them."""
    return sorted(file.name.partition("_")[0] for file in folder.glob("[0-9]*_*.py"))


def revision_of(connection: Connection, service: str) -> str | None:
    """Where the tables of *service* are, or None where there are none."""
    table = f"alembic_version_{service}"
    if not inspect(connection).has_table(table):
        return None
    found = connection.scalar(text(f"SELECT version_num FROM {table}"))  # noqa: S608
    return None if found is None else str(found)


def upgrade(connection: Connection, service: str, folder: Path, wanted: str) -> None:
    """Run the revisions in *folder* up to *wanted* that the database has not seen."""
    config = Config()
    for option in ("script_location", "version_locations"):
        config.set_main_option(option, str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    with EnvironmentContext(
        config, scripts, fn=lambda current, _: scripts._upgrade_revs(wanted, current)
    ) as environment:
        environment.configure(connection=connection, version_table=f"alembic_version_{service}")
        environment.run_migrations()


def keep_copy(connection: Connection, service: str, revision: str) -> None:
    """Keep what is in the tables of *service*, which are about to be migrated to *revision*."""
    if connection.dialect.name == "postgresql":
        _copy_schema(connection, service, copy_schema(service, revision))
    else:
        file = Path(str(connection.engine.url.database))
        _copy_file(file, copy_file(file, revision))


def copy_schema(service: str, revision: str) -> str:
    """Where PostgreSQL keeps what was in the schema of *service* before *revision*."""
    return f"{service}_before_{revision}"


def copy_file(file: Path, revision: str) -> Path:
    """Where what was in the SQLite *file* before *revision* is kept."""
    return file.with_name(f"{file.name}.before-{revision}")


def _copy_schema(connection: Connection, schema: str, copy: str) -> None:
    """On the server, where it is quick, and in the migration's own transaction."""
    known = inspect(connection)
    for earlier in known.get_schema_names():
        if earlier.startswith(f"{schema}_before_"):
            connection.execute(text(f'DROP SCHEMA "{earlier}" CASCADE'))
    connection.execute(text(f'CREATE SCHEMA "{copy}"'))
    for table in known.get_table_names(schema):
        statement = f'CREATE TABLE "{copy}"."{table}" AS TABLE "{schema}"."{table}"'
        connection.execute(text(statement))
    _log.info("kept a copy of the tables before migrating them: schema %s", copy)


def _copy_file(file: Path, copy: Path) -> None:
    """Another connection reads what is committed, while ours keeps everybody from writing."""
    draft = copy.with_name(f"{copy.name}.part")
    draft.unlink(missing_ok=True)
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(draft)) as target:
        source.backup(target)
    with draft.open("rb") as written:
        os.fsync(written.fileno())
    draft.replace(copy)
    _log.info("kept a copy of the database before migrating it: %s", copy.name)
