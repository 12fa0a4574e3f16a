"""Databases of the tests: SQLite files, or PostgreSQL with `--database postgresql`."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, inspect, text

from backend.chassis.database.migration_folders import list_services_with_tables
from backend.chassis.database.sessions import migrate_services, open_database
from backend.chassis.settings import Env
from tests import servers

KINDS = ("sqlite", "postgresql")
TEMPLATE = "template_suite"

_sqlite_templates: dict[str, bytes] = {}
_vector_store: str | None = None


def create_sqlite_database(file: Path, service: str) -> str:
    """Create *file* with the tables of *service*, without running the migrations again."""
    if service not in _sqlite_templates:
        with tempfile.TemporaryDirectory() as folder:
            template = Path(folder) / "template.db"
            database = open_database(f"sqlite:///{template}", service)
            database.migrate(service)
            database.engine.dispose()
            _sqlite_templates[service] = template.read_bytes()
    file.write_bytes(_sqlite_templates[service])
    return f"sqlite:///{file}"


@contextmanager
def closing_connections() -> Iterator[None]:
    """Close the connections of all engines that connect during the block."""
    used: set[Engine] = set()

    def remember(connection: Connection) -> None:
        used.add(connection.engine)

    event.listen(Engine, "engine_connect", remember)
    try:
        yield
    finally:
        event.remove(Engine, "engine_connect", remember)
        for engine in used:
            engine.dispose()


def create_postgresql_template(server: servers.Postgres, folder: Path) -> None:
    """Create the database TEMPLATE with the tables of all services.

    Copying it takes a tenth of the time of running the migrations.
    """
    url = server.database(TEMPLATE, vectors=True)
    with closing_connections():
        env = Env({"DATABASE_URL": url, "DATA_DIR": str(folder)})
        for _ in migrate_services(env, list_services_with_tables()):
            pass


class _Server:
    """A PostgreSQL server for this process of the test run, with one database per folder."""

    def __init__(self) -> None:
        self._exit_stack = ExitStack()
        self._url_by_folder: dict[Path, str] = {}
        self._engines: set[Engine] = set()
        self._server: servers.Postgres | None = None

    def url(self, folder: Path) -> str:
        """Return the URL of the database of *folder*; it is created with all tables."""
        server = self._server or self._start()
        if folder not in self._url_by_folder:
            self._url_by_folder[folder] = server.database(template=TEMPLATE)
        return self._url_by_folder[folder]

    def _start(self) -> servers.Postgres:
        folder = Path(
            self._exit_stack.enter_context(tempfile.TemporaryDirectory(prefix="postgres-"))
        )
        self._server = self._exit_stack.enter_context(servers.postgres(folder))
        create_postgresql_template(self._server, folder)
        event.listen(Engine, "engine_connect", self._track_engine)
        return self._server

    def _track_engine(self, connection: Connection) -> None:
        self._engines.add(connection.engine)

    def _close_connections(self) -> None:
        while self._engines:
            self._engines.pop().dispose()

    def drop_below(self, folder: Path) -> None:
        """Drop the databases of all folders below *folder*."""
        unused = [path for path in self._url_by_folder if path.is_relative_to(folder)]
        if self._server is not None:
            self._close_connections()
            for path in unused:
                self._server.drop(self._url_by_folder.pop(path))

    def stop(self) -> None:
        self._exit_stack.close()


_postgresql: _Server | None = None


def select_kind(kind: str) -> None:
    """Run the tests of this process on databases of *kind*."""
    global _postgresql
    _postgresql = _Server() if kind == "postgresql" else None


def select_vector_store(kind: str | None) -> None:
    """Run the suites of this process with the vector store *kind*, or with the default one."""
    global _vector_store
    _vector_store = kind


def selected_vector_store() -> str | None:
    """Return the kind of vector store, or None for the default one."""
    return _vector_store


def require_shared_vectors() -> None:
    """Skip the test if only one process can open the selected vector store."""
    if _vector_store == "qdrant":
        pytest.skip("embedded Qdrant supports one process; QDRANT_URL would name a server")


def create_suite_database(server: servers.Postgres) -> str:
    """Return the URL of a new database for a suite, with what the selected vector store needs."""
    return server.database(vectors=_vector_store == "pgvector")


def stop() -> None:
    if _postgresql is not None:
        _postgresql.stop()


def on_postgresql() -> bool:
    return _postgresql is not None


def database_in(folder: Path, service: str) -> str:
    """Return the URL of the database of *service* with the data folder *folder*.

    A new database contains the tables of the service.
    """
    if _postgresql is not None:
        return _postgresql.url(folder)
    file = folder / f"{service}.db"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        create_sqlite_database(file, service)
    return f"sqlite:///{file}"


def empty_database_in(folder: Path) -> str:
    """Return the URL of the database of a test that creates its own tables."""
    if _postgresql is not None:
        return _postgresql.url(folder)
    return f"sqlite:///{folder / 'test.db'}"


def variables_in(folder: Path) -> dict[str, str]:
    """Return the environment variables that a process with the data folder *folder* needs."""
    return {} if _postgresql is None else {"DATABASE_URL": _postgresql.url(folder)}


def drop_below(folder: Path) -> None:
    """Drop the databases of a finished test."""
    if _postgresql is not None:
        _postgresql.drop_below(folder)


def execute(url: str, service: str, statement: str) -> list[tuple[Any, ...]]:
    """Execute *statement* on the tables of *service*, bypassing the service."""
    database = open_database(url, service).across_tenants()
    with database.write() as session:
        result = session.execute(text(statement))
        rows = [tuple(row) for row in result] if result.returns_rows else []
    database.engine.dispose()
    return rows


def contents(url: str, service: str) -> dict[str, list[str]]:
    """Return all rows of all tables of *service* as text."""
    database = open_database(url, service).across_tenants()
    with database.read() as session:
        connection = session.connection()
        rows = {
            name: sorted(map(repr, connection.exec_driver_sql(f'SELECT * FROM "{name}"')))  # noqa: S608
            for name in inspect(connection).get_table_names()
        }
    database.engine.dispose()
    return rows
