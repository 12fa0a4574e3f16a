"""Database sessions of a service, within transactions, and migration of its tables."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from backend.chassis.database import postgresql
from backend.chassis.database.metrics import SessionMetrics, collect_database_metrics
from backend.chassis.database.migration_folders import (
    get_migrations_folder,
    list_revisions,
)
from backend.chassis.database.pending_rows import (
    collect_rows,
    discard_pending_rows,
    insert_pending_rows,
)
from backend.chassis.database.sqlite import (
    BUSY_TIMEOUT_SECONDS,
    create_sqlite_engine,
    create_sqlite_owner_engine,
)
from backend.chassis.database.statements import keep_connection
from backend.chassis.observability.metrics import Metrics
from backend.chassis.observability.polled_metrics import PolledCollector
from backend.chassis.settings import CommonSettings, Env, SettingsError

_INVALID_URL = (
    "DATABASE_URL is not a valid URL. Write postgresql://user:password@host:5432/name, and in the "
    "password @ as %40, / as %2F, : as %3A, # as %23 and ? as %3F."
)

__all__ = [
    "Database",
    "Session",
    "acquire_transaction_lock",
    "acquire_transaction_locks",
    "call_after_commit",
    "get_session_tenant",
    "migrate_services",
    "notify_after_commit",
    "open_database",
]

# Keys in `Session.info`: functions and topics whose listeners are called after the commit.
_CALLS = "calls_after_commit"
_TOPICS = "topics_after_commit"
# Key in `Session.info`: the tenant with which the session was opened, or None.
_TENANT = "tenant_id"
_ACQUIRE_LOCKS = text(
    "SELECT pg_advisory_xact_lock(hashtextextended(name, 0))"
    " FROM unnest(CAST(:names AS text[])) AS name"
)


class _WritingSession(Session):
    """A session of `Database.write`. The class has a listener, which the sessions share."""


event.listen(_WritingSession, "after_soft_rollback", discard_pending_rows)


class Database:
    """The tables of one service. `read()` and `write()` open a session within a transaction.

    On PostgreSQL, sessions use a role that owns no tables. In protected tables (row_security.py)
    they see the rows of their tenant only, and none without a tenant.
    """

    def __init__(
        self,
        engine: Engine,
        schema: str,
        *,
        owner: Engine,
        writer_lock: "Lock | None" = None,
    ) -> None:
        self.engine = engine
        self._session_values: dict[Any, Any] = {}
        self._listeners: dict[str, list[Callable[[], None]]] = {}
        self._preparations: list[Callable[[str | None], None]] = []
        self._writer_lock = writer_lock
        self._schema = schema
        self._owner = owner
        self._session_metrics = SessionMetrics()
        # SQLite: a writing transaction takes the write lock at its start. A transaction that reads
        # first and then writes fails if another one has written in between.
        self._writing_engine = engine.execution_options(sqlite_begin="IMMEDIATE")
        self._every_tenant = False

    def across_tenants(self) -> "Database":
        """Return a `Database` for the same tables whose sessions see every tenant by default.

        It shares all else with this one, such as the lock of writers and the listeners.
        """
        database = copy(self)
        database._every_tenant = True
        return database

    def share_with_sessions(self, key: str, value: object) -> None:
        """Set *key* in the `info` of sessions that are opened from now on."""
        self._session_values[key] = value

    def add_preparation(self, prepare: Callable[[str | None], None]) -> None:
        """Call *prepare* with the tenant of each session for writing before its transaction.

        It does what takes long, because other writers of SQLite wait for the transaction.
        """
        self._preparations.append(prepare)

    def add_commit_listener(self, topic: str, listener: Callable[[], None]) -> None:
        """Call *listener* after each commit of a session with `notify_after_commit(…, topic)`.

        It is called in the thread of the commit, so it must neither block nor raise.
        """
        self._listeners.setdefault(topic, []).append(listener)

    def register_metrics(self, metrics: Metrics) -> None:
        """Report connection use, waiting times and the size of the database in *metrics*."""
        pool = self.engine.pool
        if isinstance(pool, QueuePool):
            max_connections = pool.size() + pool._max_overflow
            self._session_metrics.register(metrics.registry, max_connections)
        metrics.register_polled(
            PolledCollector("the database", lambda: collect_database_metrics(self.engine))
        )

    @contextmanager
    def read(self, tenant_id: str | None = None) -> Iterator[Session]:
        """Open a session for reading. On PostgreSQL it sees the rows of *tenant_id* only."""
        measure = self._session_metrics.measure_session
        with (
            Session(self.engine, info=self._session_values) as session,
            session.begin(),
            measure(session, "read"),
        ):
            self._set_tenant(session, tenant_id)
            yield session

    @contextmanager
    def write(self, tenant_id: str | None = None) -> Iterator[Session]:
        """Open a session for writing: committed at the end, rolled back on an exception."""
        for prepare in self._preparations:
            prepare(tenant_id)
        measure = self._session_metrics.measure_session
        with (
            self._wait_for_writers(),
            _WritingSession(self._writing_engine, info=self._session_values) as session,
            session.begin(),
            measure(session, "write"),
        ):
            self._set_tenant(session, tenant_id)
            collect_rows(session)
            yield session
            insert_pending_rows(session)
        for call in session.info.get(_CALLS, ()):
            call()
        for topic in session.info.get(_TOPICS, ()):
            for listener in self._listeners.get(topic, ()):
                listener()

    @contextmanager
    def _wait_for_writers(self) -> Iterator[None]:
        """On SQLite, let only one thread of this process write at a time.

        SQLite does not queue its writers: each polls for the lock, and with many of them one may
        time out. Processes still compete in this way, so a writer can wait for both locks in turn.
        """
        if self._writer_lock is None:
            yield
            return
        has_lock = self._writer_lock.acquire(timeout=BUSY_TIMEOUT_SECONDS)
        try:
            # Without the lock, the transaction waits for SQLite's lock and reports that it is busy.
            yield
        finally:
            if has_lock:
                self._writer_lock.release()

    @contextmanager
    def as_owner(self) -> Iterator[Connection]:
        """Open a transaction as the owner of the tables, who alone may change the schema."""
        with self._owner.execution_options(sqlite_begin="IMMEDIATE").begin() as connection:
            if connection.dialect.name != "postgresql":
                yield connection
                return
            with postgresql.as_owner(connection, self._schema):
                yield connection

    def check_connection(self) -> None:
        """Raise an exception unless the database responds."""
        with self.engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def migrate(self, service: str, revision: str | None = None) -> str:
        """Migrate the tables of *service* to *revision*, by default the newest.

        Returns:
            The revision of the tables after the migration.

        Raises:
            SettingsError: the database cannot be used, or a newer release migrated the tables.
        """
        folder = get_migrations_folder(service)
        target_revision = revision or list_revisions(folder)[-1]
        if self._get_revision_or_fail(f"alembic_version_{service}") != target_revision:
            # Alembic is slow to import, and most starts have nothing to migrate.
            from backend.chassis.database import migrations

            with self.as_owner() as connection:
                migrations.migrate_service(connection, service, folder, target_revision)
        return target_revision

    def _get_revision_or_fail(self, version_table: str) -> str | None:
        """Return the revision of the tables. Raises SettingsError if the database is unusable."""
        try:
            revision = self._get_revision(version_table)
            if self.engine.dialect.name == "postgresql":
                self._ensure_schema_and_role()
        except (SQLAlchemyError, OSError) as error:
            explanation = postgresql.explain_connection_error(error, self.engine.url)
            if explanation is None:
                raise
            raise SettingsError(explanation) from error
        return revision

    def _get_revision(self, version_table: str) -> str | None:
        with self._owner.connect() as connection:
            if not inspect(connection).has_table(version_table):
                return None
            revision = connection.scalar(text(f"SELECT version_num FROM {version_table}"))  # noqa: S608
            return None if revision is None else str(revision)

    def _ensure_schema_and_role(self) -> None:
        """Create the schema and role if missing (a restored database has neither)."""
        with self._owner.connect() as connection:
            exists = postgresql.has_schema_and_role(connection, self._schema)
        if not exists:
            with self.as_owner():
                pass

    def _set_tenant(self, session: Session, tenant_id: str | None) -> None:
        session.info[_TENANT] = tenant_id
        keep_connection(session)
        if self.engine.dialect.name == "postgresql":
            postgresql.set_tenant(session, tenant_id, every_tenant=self._every_tenant)


def migrate_services(env: Env, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Migrate the tables of the services *names*. Yields each service's name and new revision."""
    for name in names:
        url = CommonSettings.from_env(env, name).get_database_url(env)
        yield name, open_database(url, name).migrate(name)


def get_session_tenant(session: Session) -> str:
    """Return the tenant with which `Database.read` or `Database.write` opened *session*.

    Raises:
        ValueError: it was opened without a tenant.
    """
    tenant_id: str | None = session.info.get(_TENANT)
    if tenant_id is None:
        raise ValueError("the session was opened without a tenant")
    return tenant_id


def acquire_transaction_lock(session: Session, lock_name: str) -> None:
    """Acquire the lock *lock_name* until the transaction ends. Blocks while another one holds it.

    For transactions whose writes depend on what they have read: on PostgreSQL, two of them could
    read the same state at the same time. On SQLite, `Database.write` serialises all writers anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": lock_name}
        )


def acquire_transaction_locks(session: Session, lock_names: Iterable[str]) -> None:
    """Acquire several locks as `acquire_transaction_lock`, in the order of their names.

    With one order, two transactions cannot wait for each other.
    """
    names = sorted(set(lock_names))
    if names and session.get_bind().dialect.name == "postgresql":
        session.execute(_ACQUIRE_LOCKS, {"names": names})


def call_after_commit(session: Session, call: Callable[[], None]) -> None:
    """Call *call* after `Database.write` has committed *session*. It must not raise."""
    session.info.setdefault(_CALLS, []).append(call)


def notify_after_commit(session: Session, topic: str) -> None:
    """Call the listeners of *topic* after `Database.write` has committed *session*."""
    session.info.setdefault(_TOPICS, set()).add(topic)


def open_database(url: str, schema: str) -> Database:
    """Return the database at *url*. On PostgreSQL, its tables are in *schema*.

    Raises:
        SettingsError: *url* is invalid.
    """
    parsed_url = _parse_url(url)
    if parsed_url.get_backend_name() == "postgresql":
        owner = postgresql.create_owner_engine(parsed_url, schema)
        engine = postgresql.create_service_engine(parsed_url, schema, owner)
        return Database(engine, schema, owner=owner)
    engine = create_sqlite_engine(parsed_url)
    owner = create_sqlite_owner_engine(parsed_url)
    return Database(engine, schema, owner=owner, writer_lock=Lock())


def _parse_url(url: str) -> URL:
    try:
        parsed_url = make_url(url)
        if parsed_url.get_backend_name() == "postgresql":
            postgresql.parse_database_url(parsed_url)
    except (ArgumentError, ValueError) as error:
        message = str(error) if "DATABASE_URL" in str(error) else _INVALID_URL
        raise SettingsError(message) from None
    return parsed_url
