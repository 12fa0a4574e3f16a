"""Databases that contain the tables of the tested service."""

from pathlib import Path

import pytest

from tests import databases, servers


@pytest.fixture(scope="session")
def postgres_template(postgres: servers.Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    databases.create_postgresql_template(postgres, tmp_path_factory.mktemp("template"))
    return databases.TEMPLATE


@pytest.fixture
def sqlite_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    service = request.path.relative_to(Path(__file__).parent).parts[0]
    return databases.create_sqlite_database(tmp_path / "test.db", service)
