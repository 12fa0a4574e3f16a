"""The databases that a restore fills, each in one transaction, beside what is there now."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from backend.chassis.console import CannotRun
from backend.chassis.database import migrations, postgresql
from backend.chassis.database.sessions import migrations_of, open_database
from backend.operations.backup import row_transfer
from backend.operations.backup.installation import Installation, enter, has_tables, sqlite_file
from backend.operations.backup.manifest import Service
from backend.operations.backup.schema_at_revision import Table, shapes
from backend.operations.backup.swap_plan import STAGE

_OTHERS = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
AND usename = current_user AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


class Targets:
    """Connections by service. All is committed when they are closed, or nothing of it."""

    def __init__(self, stamp: str) -> None:
        self._stamp = stamp
        self._connections: dict[str, Connection] = {}
        # Of SQLite: what was made, and where it belongs.
        self.files: dict[Path, Path] = {}

    @classmethod
    @contextmanager
    def opened(
        cls, installation: Installation, services: Mapping[str, Service], stamp: str
    ) -> Iterator[Self]:
        """With empty tables at the revisions of *services*; what is there keeps another name."""
        targets = cls(stamp)
        with ExitStack() as open_ones:
            known: dict[str, Connection] = {}
            for service, about in services.items():
                url = installation.urls[service]
                if url not in known:
                    known[url] = open_ones.enter_context(
                        targets._connected(installation, url, service)
                    )
                targets._connections[service] = known[url]
                if known[url].dialect.name == "postgresql":
                    targets._set_aside(known[url], service)
                    open_ones.enter_context(postgresql.as_owner(known[url], service))
                make_empty(targets.at(service), service, about.revision)
            yield targets

    def at(self, service: str) -> Connection:
        """The connection, for what concerns the tables of *service*, until others are asked for."""
        connection = self._connections[service]
        enter(connection, service)
        return connection

    def finish(self, service: str, counts: Mapping[str, int]) -> None:
        """Refuse if rows are missing; bring the tables to the newest revision."""
        folder = migrations_of(service)
        newest = migrations.revisions(folder)[-1]
        connection = self.at(service)
        for table, count in counts.items():
            found = connection.scalar(text(f'SELECT count(*) FROM "{table}"'))  # noqa: S608
            if found != count:
                raise CannotRun(f"{service}.{table} has {found} rows and not {count}.")
        row_transfer.go_on_counting(connection, _tables(connection, service))
        migrations.upgrade(connection, service, folder, newest)

    def _set_aside(self, connection: Connection, service: str) -> None:
        if has_tables(connection, service):
            aside = f"{service}_replaced_{self._stamp}"
            connection.execute(text(f'ALTER SCHEMA "{service}" RENAME TO "{aside}"'))

    @contextmanager
    def _connected(
        self, installation: Installation, url: str, service: str
    ) -> Iterator[Connection]:
        file = sqlite_file(url)
        if file is None:
            engine = postgresql.open_owner(make_url(url), service)
            with engine.begin() as connection:
                yield connection
            return
        staged = staged_file(installation.data, file)
        staged.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        staged.unlink(missing_ok=True)
        self.files[staged] = file
        database = open_database(f"sqlite:///{staged}", service)
        try:
            with database.as_owner() as connection:
                yield connection
        finally:
            # The last one to go writes everything into the file itself.
            database.engine.dispose()


def staged_file(data: Path, file: Path) -> Path:
    """Where a SQLite file is made: from where it can be moved to its place."""
    if file.is_relative_to(data):
        return data / STAGE / "tables" / file.name
    return file.with_name(f"{file.name}.restoring")


def make_empty(connection: Connection, service: str, revision: str) -> None:
    """Make the tables as they were at *revision*, without what their migrations put in."""
    migrations.upgrade(connection, service, migrations_of(service), revision)
    for table in reversed(shapes(service, revision)):
        connection.execute(text(f'DELETE FROM "{table.name}"'))  # noqa: S608


def _tables(connection: Connection, service: str) -> Sequence[Table]:
    revision = migrations.revision_of(connection, service)
    return shapes(service, str(revision))


def refuse_in_use(installation: Installation, services: Sequence[str] | None = None) -> None:
    """Raise where somebody else has a database open."""
    for service, url in installation.urls.items():
        if services is not None and service not in services:
            continue
        file = sqlite_file(url)
        if file is None:
            _refuse_shared_server(url, service)
        elif file.is_file():
            _refuse_shared_file(file)


def _refuse_shared_file(file: Path) -> None:
    """Whoever has a file open in WAL mode keeps others from having it for themselves alone."""
    engine = create_engine(f"sqlite:///{file}", connect_args={"timeout": 0})
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA locking_mode=EXCLUSIVE")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            connection.exec_driver_sql("ROLLBACK")
    except OperationalError as error:
        raise CannotRun(
            f"Somebody else has {file} open. End every service first: ./start_microservices.sh stop"
        ) from error
    finally:
        engine.dispose()


def _refuse_shared_server(url: str, service: str) -> None:
    with postgresql.open_owner(make_url(url), service).connect() as connection:
        others = connection.scalar(text(_OTHERS))
        if others:
            raise CannotRun(
                f"{others} others are connected to the database {connection.engine.url.database}. "
                "End every service first."
            )
