"""Options and fixtures that all tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event

from tests import databases, servers
from tests.identities import Identities


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database",
        choices=databases.KINDS,
        default=databases.KINDS[0],
        help="database of all tests that do not select one themselves",
    )
    parser.addoption(
        "--redis",
        choices=("server", "cluster"),
        default="server",
        help="what the fixture `valkey` starts",
    )


def pytest_configure(config: pytest.Config) -> None:
    databases.select_kind(config.getoption("--database"))


def pytest_unconfigure() -> None:
    databases.stop()


@pytest.fixture(autouse=True)
def _drop_databases_after_test(request: pytest.FixtureRequest) -> Iterator[None]:
    if not databases.on_postgresql():
        yield
        return
    folder: Path = request.getfixturevalue("tmp_path")
    yield
    databases.drop_below(folder)


@pytest.fixture
def identities() -> Identities:
    return Identities()


@pytest.fixture
def valkey(
    tmp_path: Path, pytestconfig: pytest.Config
) -> Iterator[servers.Valkey | servers.Cluster]:
    folder = tmp_path / "valkey"
    folder.mkdir()
    if pytestconfig.getoption("--redis") == "cluster":
        with servers.valkey_cluster(folder) as cluster:
            yield cluster
        return
    with servers.valkey(folder) as server:
        yield server


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Postgres]:
    with servers.postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def postgres_url(postgres: servers.Postgres) -> Iterator[str]:
    """URL of a new empty database. Its connections are closed after the test."""
    used: set[Engine] = set()

    def remember(connection: Connection) -> None:
        used.add(connection.engine)

    event.listen(Engine, "engine_connect", remember)
    yield postgres.database()
    event.remove(Engine, "engine_connect", remember)
    for engine in used:
        engine.dispose()


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """URL of a database for this test only."""
    return databases.database_in(tmp_path, "test")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def each_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a new database of each supported kind, for tests of transaction isolation."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url
