"""Open a service's own database, hand out sessions, bring its tables up to date."""

import importlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, DateTime, Dialect, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import QueuePool
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import String, TypeDecorator

from backend.chassis.catalog import CATALOG
from backend.chassis.database import postgresql
from backend.chassis.database.metrics import Meter, store_numbers
from backend.chassis.observability.metrics import Metrics
from backend.chassis.observability.polled_metrics import AskedNumbers
from backend.chassis.settings import CommonSettings, Env, SettingsError

_BUSY_SECONDS = 10
_POOL = 5
_MOST_CONNECTIONS = 15
_UNREADABLE = (
    "DATABASE_URL cannot be read: write postgresql://user:password@host:5432/name, and in the "
    "password @ as %40, / as %2F, : as %3A, # as %23 and ? as %3F."
)

SqliteValue = str | bytes | int | float | None

__all__ = [
    "Database",
    "Session",
    "UtcDateTime",
    "migrate_all",
    "migrations_of",
    "open_database",
    "services_with_tables",
    "take_turns",
    "utc_day",
]


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


class utc_day(FunctionElement[str]):  # noqa: N801 - it is called like func.date
    """In SQL, the day of a `UtcDateTime` in UTC, written 2030-01-31."""

    type = String()
    inherit_cache = True


@compiles(utc_day)
def _utc_day_of_text(element: utc_day, compiler: SQLCompiler, **kw: Any) -> str:
    return f"substr({compiler.process(element.clauses, **kw)}, 1, 10)"


@compiles(utc_day, "postgresql")
def _utc_day_of_moment(element: utc_day, compiler: SQLCompiler, **kw: Any) -> str:
    moment = compiler.process(element.clauses, **kw)
    return f"to_char({moment} AT TIME ZONE 'UTC', 'YYYY-MM-DD')"


class Database:
    """One service's tables. `read()` and `write()` give a session within a transaction.

    On PostgreSQL a session works under a role that owns nothing, and sees in protected
    tables (chassis/row_security.py) the rows of its tenant; without a tenant, none.
    """

    def __init__(
        self,
        engine: Engine,
        schema: str,
        *,
        owner: Engine,
        every_tenant: bool = False,
        meter: Meter | None = None,
    ) -> None:
        self.engine = engine
        self._schema = schema
        self._owner = owner
        self._every_tenant = every_tenant
        self._meter = meter or Meter()
        # SQLite: whoever is going to write says so at once. A reader that turns
        # writer half-way fails when another has written in between.
        self._readers = sessionmaker(engine)
        self._writers = sessionmaker(engine.execution_options(sqlite_begin="IMMEDIATE"))

    def across_tenants(self) -> "Database":
        """The same tables, where a session without a tenant sees the rows of all of them."""
        return Database(
            self.engine, self._schema, owner=self._owner, every_tenant=True, meter=self._meter
        )

    def show(self, metrics: Metrics) -> None:
        """Count what sessions wait for and hold, and tell how large the database is."""
        pool = self.engine.pool
        if isinstance(pool, QueuePool):
            self._meter.show(metrics.registry, pool.size() + pool._max_overflow)
        metrics.ask(AskedNumbers("the database", lambda: store_numbers(self.engine)))

    @contextmanager
    def read(self, tenant_id: str | None = None) -> Iterator[Session]:
        """A session to look with; within *tenant_id*'s rows where the database sees to that."""
        with self._readers.begin() as session, self._meter.counting(session, "read"):
            self._enter_tenant(session, tenant_id)
            yield session

    @contextmanager
    def write(self, tenant_id: str | None = None) -> Iterator[Session]:
        """A session to change with: committed at the end, rolled back on an exception."""
        with self._writers.begin() as session, self._meter.counting(session, "write"):
            self._enter_tenant(session, tenant_id)
            yield session

    @contextmanager
    def as_owner(self) -> Iterator[Connection]:
        """A transaction of the tables' owner, who alone may change how they are made."""
        with self._owner.execution_options(sqlite_begin="IMMEDIATE").begin() as connection:
            if connection.dialect.name != "postgresql":
                yield connection
                return
            with postgresql.as_owner(connection, self._schema):
                yield connection

    def check(self) -> None:
        """Raise unless the database answers."""
        with self.engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def migrate(self, service: str, revision: str | None = None) -> str:
        """Bring the tables of *service* to the newest of its migrations, or to *revision*.

        Returns the revision they are at then.

        Their files are named after their revisions: `0002_sessions.py` is 0002.
        """
        folder = migrations_of(service)
        newest = max(file.name.partition("_")[0] for file in folder.glob("[0-9]*_*.py"))
        wanted = revision or newest
        if self._reach(f"alembic_version_{service}") != wanted:
            from backend.chassis.database import migrations

            with self.as_owner() as connection:
                migrations.bring(connection, service, folder, wanted)
        return wanted

    def _reach(self, version_table: str) -> str | None:
        """The revision that the tables are at; SettingsError where there is no way to them."""
        try:
            revision = self._revision(version_table)
            if self.engine.dialect.name == "postgresql":
                self._settle()
        except (SQLAlchemyError, OSError) as error:
            trouble = postgresql.trouble(error, self.engine.url)
            if trouble is None:
                raise
            raise SettingsError(trouble) from error
        return revision

    def _revision(self, version_table: str) -> str | None:
        with self._owner.connect() as connection:
            if not inspect(connection).has_table(version_table):
                return None
            found = connection.scalar(text(f"SELECT version_num FROM {version_table}"))  # noqa: S608
            return None if found is None else str(found)

    def _settle(self) -> None:
        """Have a schema, and a role to work under: tables that were copied here come without it."""
        with self._owner.connect() as connection:
            settled = postgresql.is_settled(connection, self._schema)
        if not settled:
            with self.as_owner():
                pass

    def _enter_tenant(self, session: Session, tenant_id: str | None) -> None:
        if self.engine.dialect.name == "postgresql":
            postgresql.enter(session, tenant_id, every_tenant=self._every_tenant)


def migrate_all(env: Env) -> Iterator[tuple[str, str]]:
    """Bring the tables of every service to its newest revision; tells each with that revision."""
    for name in services_with_tables():
        url = CommonSettings.from_env(env, name).database_url(env)
        yield name, open_database(url, name).migrate(name)


def services_with_tables() -> list[str]:
    """Those of the catalog that have migrations."""
    packages = {entry.name: f"backend.services.{entry.name}.migrations" for entry in CATALOG}
    return [name for name, package in packages.items() if find_spec(package) is not None]


def migrations_of(service: str) -> Path:
    """The folder of the service's migrations."""
    package = importlib.import_module(f"backend.services.{service}.migrations")
    return Path(package.__path__[0])


def take_turns(session: Session, what: str) -> None:
    """Let nobody else who asks for *what* go on until this transaction has ended.

    For what looks first and writes then: PostgreSQL lets two writers look at once.
    On SQLite all writers take turns as it is.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:what, 0))"), {"what": what}
        )


def open_database(url: str, schema: str) -> Database:
    """The database at *url*; on PostgreSQL within the schema *schema*."""
    parsed = _parsed(url)
    if parsed.get_backend_name() == "postgresql":
        owner = postgresql.open_owner(parsed, schema)
        return Database(postgresql.open_engine(parsed, schema, owner), schema, owner=owner)
    engine = _sqlite(parsed)
    return Database(engine, schema, owner=engine)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "postgresql":
            postgresql.read_url(parsed)
    except (ArgumentError, ValueError) as error:
        told = str(error) if "DATABASE_URL" in str(error) else _UNREADABLE
        raise SettingsError(told) from None
    return parsed


def _sqlite(parsed: URL) -> Engine:
    if parsed.database in (None, "", ":memory:"):
        raise ValueError("A database in memory ends with its connection: name a file.")
    Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        parsed,
        pool_size=_POOL,
        max_overflow=_MOST_CONNECTIONS - _POOL,
        connect_args={"check_same_thread": False, "timeout": _BUSY_SECONDS},
        # An error that says what was to be stored would say it in the log.
        hide_parameters=True,
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
    # SQLite's own knows ASCII alone: nobody would find "Ärger" by "ärger".
    connection.create_function("lower", 1, _lower, deterministic=True)


def _lower(value: SqliteValue) -> SqliteValue:
    return value.lower() if isinstance(value, str) else value


def _begin_sqlite(connection: Connection) -> None:
    kind = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {kind}")
