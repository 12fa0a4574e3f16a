"""Bring a service's tables up to date with its Alembic revisions.

A module of its own because Alembic is slow to import, and most starts find
nothing to do.
"""

import logging
import sqlite3
from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

_log = logging.getLogger(__name__)
# Any number will do as long as nobody else takes it.
_LOCK = 0x41415331


def upgrade(engine: Engine, schema: str, folder: Path, version_table: str) -> None:
    """Run the revisions in *folder* that the database has not seen.

    Several processes may start at once: one migrates, the others wait.
    """
    config = Config()
    for option in ("script_location", "version_locations"):
        config.set_main_option(option, str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    with (
        EnvironmentContext(
            config, scripts, fn=lambda revision, _: scripts._upgrade_revs("head", revision)
        ) as environment,
        engine.execution_options(sqlite_begin="IMMEDIATE").begin() as connection,
    ):
        _wait_for_turn(connection, schema)
        environment.configure(connection=connection, version_table=version_table)
        environment.run_migrations()


def copy_before(file: Path, revision: str) -> None:
    """Keep a copy of the SQLite *file* that is about to be migrated to *revision*."""
    copy = file.with_name(f"{file.name}.before-{revision}")
    if not copy.exists():
        with sqlite3.connect(file) as source, sqlite3.connect(copy) as target:
            source.backup(target)
        _log.info("kept a copy of the database before migrating it: %s", copy.name)


def _wait_for_turn(connection: Connection, schema: str) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
