"""Databases that a restore fills, each in one transaction, next to the existing data."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from backend.chassis.console import CommandError
from backend.chassis.database import migrations, postgresql
from backend.chassis.database.migration_folders import get_migrations_folder, list_revisions
from backend.chassis.database.sessions import open_database
from backend.chassis.database.writer_turns import get_turns_path
from backend.operations.backup.format import row_transfer
from backend.operations.backup.format.manifest import ServiceManifest
from backend.operations.backup.format.schema_at_revision import Table, get_tables
from backend.operations.backup.installation import (
    Installation,
    get_sqlite_file,
    has_tables,
    set_search_path,
)
from backend.operations.backup.swap_plan import STAGING_FOLDER

_COUNT_OTHER_CONNECTIONS = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
AND usename = current_user AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


class RestoreTargets:
    """Connections by service, in transactions that are committed at exit or rolled back on error.

    Attributes:
        staged_files: final path of each new SQLite file, by its staging path.
    """

    def __init__(self, stamp: str) -> None:
        self._stamp = stamp
        self._connections: dict[str, Connection] = {}
        self.staged_files: dict[Path, Path] = {}

    @classmethod
    @contextmanager
    def open(
        cls, installation: Installation, services: Mapping[str, ServiceManifest], stamp: str
    ) -> Iterator[Self]:
        """Open targets with empty tables at the revisions of *services*.

        Existing PostgreSQL schemas are renamed: *stamp* becomes part of their names.
        """
        targets = cls(stamp)
        with ExitStack() as stack:
            by_url: dict[str, Connection] = {}
            for service, manifest in services.items():
                url = installation.urls[service]
                if url not in by_url:
                    by_url[url] = stack.enter_context(targets._connect(installation, url, service))
                connection = targets._connections[service] = by_url[url]
                if connection.dialect.name == "postgresql":
                    targets._rename_schema(connection, service)
                    stack.enter_context(postgresql.as_owner(connection, service))
                create_empty_tables(targets.get_connection(service), service, manifest.revision)
            yield targets

    def get_connection(self, service: str) -> Connection:
        """Return the connection for *service*, valid until this is called for another service."""
        connection = self._connections[service]
        set_search_path(connection, service)
        return connection

    def finish_service(self, service: str, counts: Mapping[str, int]) -> None:
        """Check the row counts, then migrate the tables to the newest revision.

        Raises:
            CommandError: a table does not have the number of rows given in *counts*.
        """
        folder = get_migrations_folder(service)
        newest = list_revisions(folder)[-1]
        connection = self.get_connection(service)
        for table, count in counts.items():
            restored = connection.scalar(text(f'SELECT count(*) FROM "{table}"'))  # noqa: S608
            if restored != count:
                raise CommandError(f"{service}.{table} has {restored} rows instead of {count}.")
        row_transfer.reset_sequences(connection, _get_current_tables(connection, service))
        migrations.run_migrations(connection, service, folder, newest)

    def _rename_schema(self, connection: Connection, service: str) -> None:
        if has_tables(connection, service):
            aside = f"{service}_replaced_{self._stamp}"
            connection.execute(text(f'ALTER SCHEMA "{service}" RENAME TO "{aside}"'))

    @contextmanager
    def _connect(self, installation: Installation, url: str, service: str) -> Iterator[Connection]:
        file = get_sqlite_file(url)
        if file is None:
            engine = postgresql.create_owner_engine(make_url(url), service)
            with engine.begin() as connection:
                yield connection
            return
        staged = get_staging_path(installation.data, file)
        staged.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        staged.unlink(missing_ok=True)
        self.staged_files[staged] = file
        database = open_database(f"sqlite:///{staged}", service)
        try:
            with database.as_owner() as connection:
                yield connection
        finally:
            # Closing the last connection writes the write-ahead log into the file.
            database.engine.dispose()
            get_turns_path(staged).unlink(missing_ok=True)


def get_staging_path(data: Path, file: Path) -> Path:
    """Return the path for a new SQLite file, on the same file system as its final path."""
    if file.is_relative_to(data):
        return data / STAGING_FOLDER / "tables" / file.name
    return file.with_name(f"{file.name}.restoring")


def create_empty_tables(connection: Connection, service: str, revision: str) -> None:
    """Create the tables at *revision*, without the rows that migrations insert."""
    migrations.run_migrations(connection, service, get_migrations_folder(service), revision)
    for table in reversed(get_tables(service, revision)):
        connection.execute(text(f'DELETE FROM "{table.name}"'))  # noqa: S608


def _get_current_tables(connection: Connection, service: str) -> Sequence[Table]:
    revision = migrations.get_current_revision(connection, service)
    return get_tables(service, str(revision))


def check_databases_unused(
    installation: Installation, services: Sequence[str] | None = None
) -> None:
    """Raise CommandError if another process uses a database of *services* (default: all)."""
    for service, url in installation.urls.items():
        if services is not None and service not in services:
            continue
        file = get_sqlite_file(url)
        if file is None:
            _check_server_unused(url, service)
        elif file.is_file():
            _check_file_unused(file)


def _check_file_unused(file: Path) -> None:
    """Request exclusive access. SQLite denies it while another process has the file open (WAL)."""
    engine = create_engine(f"sqlite:///{file}", connect_args={"timeout": 0})
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA locking_mode=EXCLUSIVE")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            connection.exec_driver_sql("ROLLBACK")
    except OperationalError as error:
        raise CommandError(
            f"Another process has {file} open. Stop all services: ./start_microservices.sh stop"
        ) from error
    finally:
        engine.dispose()


def _check_server_unused(url: str, service: str) -> None:
    with postgresql.create_owner_engine(make_url(url), service).connect() as connection:
        others = connection.scalar(text(_COUNT_OTHER_CONNECTIONS))
        if others:
            raise CommandError(
                f"The database {connection.engine.url.database} has {others} other connections. "
                "Stop all services."
            )
