"""SQLite engine: connection pool, pragmas and explicit transactions."""

import sqlite3
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from backend.chassis.database.writer_turns import WriterTurns

_BEGIN_WRITING = "BEGIN IMMEDIATE"
# Time that a statement waits for the lock of another writer.
BUSY_TIMEOUT_SECONDS = 2
# The owner waits longer: several processes may migrate the tables at the same time.
_OWNER_BUSY_TIMEOUT_SECONDS = 30
_POOL_SIZE = 5
_MAX_CONNECTIONS = 15

SqliteValue = str | bytes | int | float | None


def create_sqlite_engine(url: URL) -> Engine:
    """Return an engine for the SQLite file of *url*. Creates the file's folder.

    Raises:
        ValueError: *url* names no file. A database in memory ends with its connection.
    """
    engine = create_engine(
        _check_file(url),
        pool_size=_POOL_SIZE,
        max_overflow=_MAX_CONNECTIONS - _POOL_SIZE,
        # A connection drops the pages that it has read when another one writes. So the connection
        # that wrote last is the best for the next transaction.
        pool_use_lifo=True,
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_SECONDS},
        # Error messages would contain the values to store, and end up in the log.
        hide_parameters=True,
    )
    return _prepare(engine, BUSY_TIMEOUT_SECONDS)


def create_sqlite_owner_engine(url: URL) -> Engine:
    """Return an engine for schema changes. It has no pool and waits longer for a lock.

    Raises:
        ValueError: *url* names no file.
    """
    connect_args = {"check_same_thread": False, "timeout": _OWNER_BUSY_TIMEOUT_SECONDS}
    engine = create_engine(
        _check_file(url), poolclass=NullPool, connect_args=connect_args, hide_parameters=True
    )
    return _prepare(engine, _OWNER_BUSY_TIMEOUT_SECONDS)


def _check_file(url: URL) -> URL:
    if url.database in (None, "", ":memory:"):
        raise ValueError("An in-memory database is lost with its connection. Name a file.")
    Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    return url


def _prepare(engine: Engine, timeout_seconds: float) -> Engine:
    # All names of one file must lead to the same turns.
    turns = WriterTurns(Path(str(engine.url.database)).resolve(), timeout_seconds)
    event.listen(engine, "connect", _prepare_connection)
    event.listen(engine, "begin", _begin_transaction)
    # Not in _begin_transaction: so spans include the wait, and errors become SQLAlchemy's.
    event.listen(engine, "do_execute", partial(_wait_for_turn, turns))
    return engine


def _prepare_connection(connection: sqlite3.Connection, _record: object) -> None:
    # _begin_transaction starts transactions. The driver would begin one at the first write, too
    # late to protect what was read before it.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    # SQLite's own lower() changes ASCII letters only: a search for "ärger" would miss "Ärger".
    connection.create_function("lower", 1, _lower, deterministic=True)


def _lower(value: SqliteValue) -> SqliteValue:
    return value.lower() if isinstance(value, str) else value


def _begin_transaction(connection: Connection) -> None:
    mode = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")


def _wait_for_turn(
    turns: WriterTurns,
    cursor: sqlite3.Cursor,
    statement: str,
    _parameters: object,
    _context: object,
) -> bool:
    """Execute a statement that begins a writing transaction. Returns False for others."""
    if statement != _BEGIN_WRITING:
        return False
    turns.begin(cursor.connection)
    return True
