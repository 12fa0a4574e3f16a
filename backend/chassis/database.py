"""Open a service's own database, hand out sessions, bring its tables up to date."""

import importlib
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, DateTime, Dialect, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.types import TypeDecorator

_log = logging.getLogger(__name__)
_BUSY_SECONDS = 10
_STATEMENT_SECONDS = 30
# Any number will do as long as nobody else takes it.
_MIGRATION_LOCK = 0x41415331

__all__ = ["Database", "Session", "UtcDateTime", "open_database"]


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime on every database; SQLite itself forgets the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is not None and value.tzinfo is None:
            raise ValueError("A time without a zone must not be stored.")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Database:
    """One service's tables. `read()` and `write()` give a session within a transaction."""

    def __init__(self, engine: Engine, schema: str) -> None:
        self.engine = engine
        self._schema = schema
        # SQLite: whoever is going to write says so at once. A reader that turns
        # writer half-way fails when another has written in between.
        self._readers = sessionmaker(engine)
        self._writers = sessionmaker(engine.execution_options(sqlite_begin="IMMEDIATE"))

    @contextmanager
    def read(self, tenant_id: str | None = None) -> Iterator[Session]:
        """A session to look with; within *tenant_id*'s rows where the database sees to that."""
        with self._readers.begin() as session:
            self._enter_tenant(session, tenant_id)
            yield session

    @contextmanager
    def write(self, tenant_id: str | None = None) -> Iterator[Session]:
        """A session to change with: committed at the end, rolled back on an exception."""
        with self._writers.begin() as session:
            self._enter_tenant(session, tenant_id)
            yield session

    def check(self) -> None:
        """Raise unless the database answers."""
        with self.engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def migrate(self, service: str) -> None:
        """Bring the tables of *service* to the newest of its migrations.

        Several processes may start at once: one migrates, the others wait.
        """
        package = importlib.import_module(f"backend.services.{service}.migrations")
        folder = str(Path(package.__path__[0]))
        config = Config()
        config.set_main_option("script_location", folder.replace("%", "%%"))
        config.set_main_option("version_locations", folder.replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        scripts = ScriptDirectory.from_config(config)
        version_table = f"alembic_version_{service}"
        self._copy_before(scripts, version_table)
        with (
            EnvironmentContext(
                config, scripts, fn=lambda revision, _: scripts._upgrade_revs("head", revision)
            ) as environment,
            self.engine.execution_options(sqlite_begin="IMMEDIATE").begin() as connection,
        ):
            self._lock_for_migration(connection)
            environment.configure(connection=connection, version_table=version_table)
            environment.run_migrations()

    def _copy_before(self, scripts: ScriptDirectory, version_table: str) -> None:
        """Keep a copy of a SQLite file that is about to be migrated."""
        file = self.engine.url.database
        if self.engine.dialect.name != "sqlite" or not file:
            return
        with self.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"version_table": version_table})
            current = context.get_current_revision()
        if current is None or current == scripts.get_current_head():
            return
        copy = Path(f"{file}.before-{scripts.get_current_head()}")
        if not copy.exists():
            with sqlite3.connect(file) as source, sqlite3.connect(copy) as target:
                source.backup(target)
            _log.info("kept a copy of the database before migrating it: %s", copy.name)

    def _lock_for_migration(self, connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            connection.execute(
                text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK}
            )
            connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{self._schema}"'))

    def _enter_tenant(self, session: Session, tenant_id: str | None) -> None:
        if tenant_id is not None and self.engine.dialect.name == "postgresql":
            session.execute(
                text("SELECT set_config('app.tenant_id', :tenant, true)"), {"tenant": tenant_id}
            )


def open_database(url: str, schema: str) -> Database:
    """The database at *url*; on PostgreSQL within the schema *schema*."""
    return Database(_engine(url, schema), schema)


def _engine(url: str, schema: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(
            parsed,
            pool_pre_ping=True,
            pool_size=10,
            max_overflow=10,
            pool_timeout=5,
            connect_args={
                "connect_timeout": 5,
                "options": f"-csearch_path={schema} -cstatement_timeout={_STATEMENT_SECONDS}s",
            },
        )
    if parsed.database in (None, "", ":memory:"):
        raise ValueError("A database in memory ends with its connection: name a file.")
    Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        parsed, connect_args={"check_same_thread": False, "timeout": _BUSY_SECONDS}
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # Transactions are begun by _begin_sqlite; the driver's own begin comes too
    # late to protect what was read before the first write.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: Connection) -> None:
    kind = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {kind}")
