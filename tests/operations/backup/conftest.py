"""Installations with sample rows and files. No service runs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from backend.chassis.database.sessions import open_database
from backend.chassis.settings import Env
from backend.operations.backup import __main__ as command
from backend.operations.backup.format.schema_at_revision import get_tables
from backend.operations.backup.installation import Installation, connect_as_owner, get_revision
from tests import samples

SERVICES = ("auth", "agent", "rag")


@dataclass(frozen=True, slots=True)
class SampleInstallation:
    """A data folder and a database, empty until `fill` is called."""

    installation: Installation
    monkeypatch: pytest.MonkeyPatch

    @property
    def data(self) -> Path:
        return self.installation.data

    def fill(self) -> None:
        for service, url in self.installation.urls.items():
            database = open_database(url, service)
            revision = database.migrate(service)
            with database.as_owner() as connection:
                samples.fill(connection, service, revision)
            database.engine.dispose()
        (self.data / "secrets").mkdir(parents=True, exist_ok=True)
        (self.data / "secrets" / "SECRET_KEY").write_text("sample secret\n")
        (self.data / "mcp.json").write_text("{}")

    def read_rows(self) -> dict[str, dict[str, list[str]]]:
        """Return the rows of each table of each service, in the format of a backup."""
        rows = {}
        for service, url in self.installation.urls.items():
            with connect_as_owner(url, service) as connection:
                revision = get_revision(connection, service)
                tables = get_tables(service, revision) if revision is not None else ()
                rows[service] = samples.contents(connection, service, tables)
        return rows

    def run_command(self, *arguments: object, **variables: str) -> int:
        """Run a command of `python -m backend` for this installation and return its exit code."""
        with self.monkeypatch.context() as environment:
            for name, value in {**self._variables(), **variables}.items():
                environment.setenv(name, value)
            return command.main([str(argument) for argument in arguments])

    def _variables(self) -> Mapping[str, str]:
        url = self.installation.env.optional("DATABASE_URL")
        return {"DATA_DIR": str(self.data), **({"DATABASE_URL": url} if url else {})}


@pytest.fixture
def create_installation(tmp_path, monkeypatch):
    """Create an empty installation in a folder with the given name."""
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "DATA_DIR", "SECRET_KEY", "JWT_SECRET_KEY", "VECTOR_STORE"):
        monkeypatch.delenv(name, raising=False)

    def create(name: str, database_url: str | None = None) -> SampleInstallation:
        values = {"DATA_DIR": str(tmp_path / name)}
        if database_url is not None:
            values["DATABASE_URL"] = database_url
        return SampleInstallation(Installation.from_env(Env(values)), monkeypatch)

    return create


@pytest.fixture
def create_installation_on(create_installation, request):
    """Create an empty installation on a kind of database: "sqlite" or "postgresql"."""

    def create(name: str, kind: str) -> SampleInstallation:
        url = request.getfixturevalue("postgres").database() if kind == "postgresql" else None
        return create_installation(name, url)

    return create


@pytest.fixture
def filled(create_installation) -> Iterator[SampleInstallation]:
    installation = create_installation("filled")
    installation.fill()
    return installation
