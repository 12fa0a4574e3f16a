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
from sqlalchemy import Connection

_log = logging.getLogger(__name__)


def upgrade(connection: Connection, folder: Path, version_table: str, wanted: str) -> None:
    """Run the revisions in *folder* up to *wanted* that the database has not seen."""
    config = Config()
    for option in ("script_location", "version_locations"):
        config.set_main_option(option, str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    with EnvironmentContext(
        config, scripts, fn=lambda current, _: scripts._upgrade_revs(wanted, current)
    ) as environment:
        environment.configure(connection=connection, version_table=version_table)
        environment.run_migrations()


def copy_before(file: Path, revision: str) -> None:
    """Keep a copy of the SQLite *file* that is about to be migrated to *revision*."""
    copy = file.with_name(f"{file.name}.before-{revision}")
    if not copy.exists():
        with sqlite3.connect(file) as source, sqlite3.connect(copy) as target:
            source.backup(target)
        _log.info("kept a copy of the database before migrating it: %s", copy.name)
