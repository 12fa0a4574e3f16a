"""The configured installation: its data folder, databases and secrets."""

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
from backend.chassis.database.migration_folders import list_services_with_tables
from backend.chassis.database.sessions import open_database
from backend.chassis.settings import Env, get_database_url

SECRETS = ("SECRET_KEY", "JWT_SECRET_KEY")
# Files outside databases that belong to no single service and are not generated again.
_FOLDERS = ("secrets", "announcements")
_FILES = ("mcp.json",)


@dataclass(frozen=True, slots=True)
class Installation:
    """Location of all data. Creating an instance opens nothing.

    Attributes:
        data: the data folder (DATA_DIR).
        urls: database URL of each service that has tables.
    """

    env: Env
    data: Path
    urls: Mapping[str, str]

    @classmethod
    def from_env(cls, env: Env) -> Self:
        urls = {name: get_database_url(env, name) for name in list_services_with_tables()}
        return cls(env, env.path("DATA_DIR", "data"), urls)

    def iterate_files(self) -> Iterator[Path]:
        """Yield the files that are backed up individually."""
        for folder in _FOLDERS:
            if (self.data / folder).is_dir():
                # Names of incomplete files start with a dot.
                files = sorted((self.data / folder).glob("[!.]*"))
                yield from (file for file in files if file.is_file())
        yield from (self.data / name for name in _FILES if (self.data / name).is_file())

    def get_secret_fingerprints(self) -> dict[str, str | None]:
        """Return a short HMAC of each secret: it identifies the secret without revealing it."""
        return {name: _fingerprint(self._secret(name)) for name in SECRETS}

    def _secret(self, name: str) -> str | None:
        if value := self.env.optional(name):
            return value
        file = self.data / "secrets" / name
        return file.read_text().strip() if file.is_file() else None

    @contextmanager
    def open_snapshots(self) -> Iterator[dict[str, Connection]]:
        """Yield read-only connections by service, each of which reads a consistent snapshot.

        Services that share a database share one snapshot. Services without a database are missing.
        """
        with ExitStack() as stack:
            by_url: dict[str, Connection] = {}
            for service, url in self.urls.items():
                if url not in by_url and _exists(url):
                    by_url[url] = stack.enter_context(_open_snapshot(url, service))
            yield {service: by_url[url] for service, url in self.urls.items() if url in by_url}


def get_sqlite_file(url: str) -> Path | None:
    """Return the file of a SQLite database, or None for a database of another kind."""
    parsed = make_url(url)
    return Path(str(parsed.database)) if parsed.get_backend_name() == "sqlite" else None


def set_search_path(connection: Connection, service: str) -> None:
    """Resolve table names in the schema of *service* until the end of the transaction.

    SQLite has one file per service and no schemas.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text(f'SET LOCAL search_path TO "{service}"'))


def has_tables(connection: Connection, service: str) -> bool:
    schema = service if connection.dialect.name == "postgresql" else None
    return inspect(connection).has_table(f"alembic_version_{service}", schema=schema)


def get_revision(connection: Connection, service: str) -> str | None:
    """Return the service's Alembic revision, or None if it has no tables."""
    if not has_tables(connection, service):
        return None
    schema = service if connection.dialect.name == "postgresql" else "main"
    table = f'"{schema}".alembic_version_{service}'
    return str(connection.scalar(text(f"SELECT version_num FROM {table}")))  # noqa: S608


def _fingerprint(secret: str | None) -> str | None:
    if secret is None:
        return None
    return hmac.new(secret.encode(), b"ai-agent-system/backup", hashlib.sha256).hexdigest()[:16]


def _exists(url: str) -> bool:
    file = get_sqlite_file(url)
    return file is None or file.is_file()


@contextmanager
def connect_as_owner(url: str, service: str) -> Iterator[Connection]:
    """Open a connection as owner of the tables, for which row-level security does not apply."""
    if get_sqlite_file(url) is not None:
        engine = open_database(url, service).engine
    else:
        engine = postgresql.create_owner_engine(make_url(url), service)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def _open_snapshot(url: str, service: str) -> Iterator[Connection]:
    with connect_as_owner(url, service) as connection:
        if get_sqlite_file(url) is None:
            connection.execution_options(isolation_level="REPEATABLE READ")
            connection.execute(text("SET TRANSACTION READ ONLY"))
            connection.execute(text("SELECT 1"))
        else:
            # SQLite takes the snapshot at the first read of the transaction.
            connection.execute(text("SELECT count(*) FROM sqlite_master"))
        yield connection


def get_database_message(error: SQLAlchemyError) -> str:
    """Return the database's error message without the values of the rows that it concerns."""
    original = getattr(error, "orig", None) or error
    detail = original.args[0] if original.args else original
    # pg8000 passes the fields of PostgreSQL's error response; "M" is the message.
    return str(detail.get("M", "") if isinstance(detail, dict) else detail)
