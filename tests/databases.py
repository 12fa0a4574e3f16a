"""Where the tables of tests lie: in SQLite files, or with `--database postgresql` on a server."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, event, select, text

from backend.chassis.database.sessions import migrate_all, open_database
from backend.chassis.settings import Env
from tests import servers

KINDS = ("sqlite", "postgresql")
_TEMPLATE = "template_suite"


class _Server:
    """A PostgreSQL server for this process of the test run; each folder has a database there."""

    def __init__(self) -> None:
        self._ending = ExitStack()
        self._of_folder: dict[Path, str] = {}
        self._engines: set[Engine] = set()
        self._server: servers.Postgres | None = None

    def url(self, folder: Path) -> str:
        """The same one for the same folder, with all tables in it."""
        server = self._server or self._start()
        if folder not in self._of_folder:
            self._of_folder[folder] = server.database(template=_TEMPLATE)
        return self._of_folder[folder]

    def _start(self) -> servers.Postgres:
        folder = Path(self._ending.enter_context(tempfile.TemporaryDirectory(prefix="postgres-")))
        self._server = self._ending.enter_context(servers.postgres(folder))
        event.listen(Engine, "engine_connect", self._remember)
        # Copying tables takes a tenth of the time that making them does.
        url = self._server.database(_TEMPLATE, vectors=True)
        for _ in migrate_all(Env({"DATABASE_URL": url, "DATA_DIR": str(folder)})):
            pass
        self._hang_up()
        return self._server

    def _remember(self, connection: Connection) -> None:
        self._engines.add(connection.engine)

    def _hang_up(self) -> None:
        while self._engines:
            self._engines.pop().dispose()

    def drop_below(self, folder: Path) -> None:
        """Drop the databases that were made for folders in *folder*."""
        ended = [each for each in self._of_folder if each.is_relative_to(folder)]
        if self._server is not None:
            self._hang_up()
            for each in ended:
                self._server.drop(self._of_folder.pop(each))

    def stop(self) -> None:
        self._ending.close()


_postgresql: _Server | None = None


def choose(kind: str) -> None:
    """Let the tests of this process run on *kind*."""
    global _postgresql
    _postgresql = _Server() if kind == "postgresql" else None


def stop() -> None:
    if _postgresql is not None:
        _postgresql.stop()


def on_postgresql() -> bool:
    return _postgresql is not None


def database_in(folder: Path, service: str) -> str:
    """The URL of the database of *service* where *folder* is its data folder."""
    if _postgresql is None:
        return f"sqlite:///{folder / f'{service}.db'}"
    return _postgresql.url(folder)


def variables_in(folder: Path) -> dict[str, str]:
    """What a process with the data folder *folder* must find in its environment."""
    return {} if _postgresql is None else {"DATABASE_URL": _postgresql.url(folder)}


def drop_below(folder: Path) -> None:
    """Forget the databases of a test that is over."""
    if _postgresql is not None:
        _postgresql.drop_below(folder)


def execute(url: str, service: str, statement: str) -> list[tuple[Any, ...]]:
    """Do *statement* on the tables of *service*, behind its back."""
    database = open_database(url, service).across_tenants()
    with database.write() as session:
        result = session.execute(text(statement))
        rows = [tuple(row) for row in result] if result.returns_rows else []
    database.engine.dispose()
    return rows


def contents(url: str, service: str) -> dict[str, list[str]]:
    """All rows of all tables of *service*, as text."""
    database = open_database(url, service).across_tenants()
    tables = MetaData()
    with database.read() as session:
        tables.reflect(session.connection())
        rows = {
            table.name: sorted(map(repr, session.execute(select(table))))
            for table in tables.sorted_tables
        }
    database.engine.dispose()
    return rows
