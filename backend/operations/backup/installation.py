"""The installation that the settings speak of: its data folder, its databases, its secrets."""

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from backend.chassis.database import postgresql
from backend.chassis.database.sessions import open_database, services_with_tables
from backend.chassis.settings import Env, database_url

SECRETS = ("SECRET_KEY", "JWT_SECRET_KEY")
# What of the data folder is neither in a database, nor a service's, nor made anew by itself.
_FOLDERS = ("secrets", "announcements")
_FILES = ("mcp.json",)


@dataclass(frozen=True, slots=True)
class Installation:
    """Where everything is. Nothing is made or opened before it is asked for."""

    env: Env
    data: Path
    # Of each service that has tables.
    urls: Mapping[str, str]

    @classmethod
    def of(cls, env: Env) -> Self:
        urls = {name: database_url(env, name) for name in services_with_tables()}
        return cls(env, env.path("DATA_DIR", "data"), urls)

    def files(self) -> Iterator[Path]:
        """What is kept file by file."""
        for folder in _FOLDERS:
            if (self.data / folder).is_dir():
                # Half-written ones begin with a dot.
                found = sorted((self.data / folder).glob("[!.]*"))
                yield from (file for file in found if file.is_file())
        yield from (self.data / name for name in _FILES if (self.data / name).is_file())

    def fingerprints(self) -> dict[str, str | None]:
        """By which a secret is known again, and not learned."""
        return {name: _fingerprint(self._secret(name)) for name in SECRETS}

    def _secret(self, name: str) -> str | None:
        kept = self.data / "secrets" / name
        if given := self.env.optional(name):
            return given
        return kept.read_text().strip() if kept.is_file() else None

    @contextmanager
    def snapshots(self) -> Iterator[dict[str, Connection]]:
        """Each service's tables as they are at this moment, whatever is written meanwhile.

        Those in one database are of the very same moment.
        """
        with ExitStack() as open_ones:
            known: dict[str, Connection] = {}
            for service, url in self.urls.items():
                if url not in known and _is_there(url):
                    known[url] = open_ones.enter_context(_snapshot(url, service))
            yield {service: known[url] for service, url in self.urls.items() if url in known}


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite database; None for another kind."""
    parsed = make_url(url)
    return Path(str(parsed.database)) if parsed.get_backend_name() == "sqlite" else None


def enter(connection: Connection, service: str) -> None:
    """Let names of tables mean those of *service*, until the transaction ends or enters another."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f'SET LOCAL search_path TO "{service}"'))


def has_tables(connection: Connection, service: str) -> bool:
    schema = service if connection.dialect.name == "postgresql" else None
    return inspect(connection).has_table(f"alembic_version_{service}", schema=schema)


def revision_in(connection: Connection, service: str) -> str | None:
    """Where the tables of *service* are, or None where there are none."""
    if not has_tables(connection, service):
        return None
    schema = service if connection.dialect.name == "postgresql" else "main"
    table = f'"{schema}".alembic_version_{service}'
    return str(connection.scalar(text(f"SELECT version_num FROM {table}")))  # noqa: S608


def _fingerprint(secret: str | None) -> str | None:
    if secret is None:
        return None
    return hmac.new(secret.encode(), b"ai-agent-system/backup", hashlib.sha256).hexdigest()[:16]


def _is_there(url: str) -> bool:
    file = sqlite_file(url)
    return file is None or file.is_file()


@contextmanager
def connected(url: str, service: str) -> Iterator[Connection]:
    """A connection of the tables' owner, who sees every row."""
    if sqlite_file(url) is not None:
        engine = open_database(url, service).engine
    else:
        engine = postgresql.open_owner(make_url(url), service)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def _snapshot(url: str, service: str) -> Iterator[Connection]:
    with connected(url, service) as connection:
        if sqlite_file(url) is None:
            connection.execution_options(isolation_level="REPEATABLE READ")
            connection.execute(text("SET TRANSACTION READ ONLY"))
            connection.execute(text("SELECT 1"))
        else:
            # The first look is the moment that the transaction stays at.
            connection.execute(text("SELECT count(*) FROM sqlite_master"))
        yield connection


def reason(error: SQLAlchemyError) -> str:
    """What a database says of a failure, without the rows that it says it of."""
    told = getattr(error, "orig", None) or error
    first = told.args[0] if told.args else told
    return str(first.get("M", "") if isinstance(first, dict) else first)
