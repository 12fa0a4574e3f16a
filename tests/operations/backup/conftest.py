"""Installations with something in them, without anything that runs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from backend.chassis.database.sessions import open_database
from backend.chassis.settings import Env
from backend.operations.backup import __main__ as command
from backend.operations.backup.installation import Installation, connected, revision_in
from backend.operations.backup.schema_at_revision import shapes
from tests import samples

SERVICES = ("auth", "agent", "rag")


@dataclass(frozen=True, slots=True)
class Place:
    """A data folder and a database, which may be empty."""

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
        (self.data / "secrets" / "SECRET_KEY").write_text("kept secret\n")
        (self.data / "mcp.json").write_text("{}")

    def contents(self) -> dict[str, dict[str, list[str]]]:
        found = {}
        for service, url in self.installation.urls.items():
            with connected(url, service) as connection:
                revision = revision_in(connection, service)
                tables = shapes(service, str(revision))
                found[service] = samples.contents(connection, service, tables)
        return found

    def type_in(self, *words: object, **variables: str) -> int:
        """The exit code of a command, typed in this installation."""
        with self.monkeypatch.context() as environment:
            for name, value in {**self._variables(), **variables}.items():
                environment.setenv(name, value)
            return command.main([str(word) for word in words])

    def _variables(self) -> Mapping[str, str]:
        given = self.installation.env.optional("DATABASE_URL")
        return {"DATA_DIR": str(self.data), **({"DATABASE_URL": given} if given else {})}


@pytest.fixture
def make_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "DATA_DIR", "SECRET_KEY", "JWT_SECRET_KEY", "VECTOR_STORE"):
        monkeypatch.delenv(name, raising=False)

    def make(name: str, database_url: str | None = None) -> Place:
        values = {"DATA_DIR": str(tmp_path / name)}
        if database_url is not None:
            values["DATABASE_URL"] = database_url
        return Place(Installation.of(Env(values)), monkeypatch)

    return make


@pytest.fixture
def make_each(make_place, request):
    """The same by the name of a kind of database."""

    def make(name: str, kind: str) -> Place:
        url = request.getfixturevalue("postgres").database() if kind == "postgresql" else None
        return make_place(name, url)

    return make


@pytest.fixture
def full(make_place) -> Iterator[Place]:
    place = make_place("full")
    place.fill()
    return place
