"""Fixtures: an auth service per test, with a fake clock."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import make_url, text

from backend.chassis.messaging.outbox import Outbox
from backend.chassis.settings import Env
from backend.chassis.web.app_factory import get_component
from backend.security.settings import SecuritySettings
from backend.services.auth.app import create_app
from backend.services.auth.domain.sessions import SessionService
from backend.services.auth.settings import Settings
from tests.databases import database_in
from tests.password_hashes import fast_password_hashes
from tests.periodic_tasks import stopping_periodic_tasks
from tests.services.auth.api_user import ApiUser, FakeClock

ADMIN_PASSWORD = "an admin's own words"
START_TIME = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module", autouse=True)
def _hash_passwords_fast() -> Iterator[None]:
    """Two thirds of the CPU time of these tests would go there."""
    with fast_password_hashes():
        yield


@pytest.fixture(autouse=True)
def _stop_periodic_tasks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with stopping_periodic_tasks(monkeypatch):
        yield


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START_TIME)


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return database_in(tmp_path, "auth")


@pytest.fixture
def make_settings(tmp_path: Path, database_url: str) -> Callable[..., Settings]:
    return partial(load_settings, tmp_path, database_url)


def load_settings(folder: Path, database_url: str, **environment: str) -> Settings:
    values = {
        "DATA_DIR": str(folder),
        "DATABASE_URL": database_url,
        "ADMIN_PASSWORD": ADMIN_PASSWORD,
        "LOGINS_AT_ONCE": "16",
    } | environment
    settings = Settings.from_env(Env(values))
    security = SecuritySettings.from_env({"DATA_DIR": str(folder), **environment})
    # Without a broker no relay runs, and events stay in the outbox.
    common = replace(settings.common, events_url=None)
    return replace(settings, security=security, common=common)


@pytest.fixture(scope="session")
def initialized_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database file after a first start. Migrations take most of the start time."""
    folder = tmp_path_factory.mktemp("initialized")
    file = folder / "auth.db"
    # Each start of an app verifies this password.
    with fast_password_hashes():
        app = create_app(load_settings(folder, f"sqlite:///{file}"), lambda: START_TIME)
    get_component(app, SessionService)._database.engine.dispose()
    return file


@pytest.fixture
def app(
    make_settings: Callable[..., Settings], clock: FakeClock, initialized_database: Path
) -> Flask:
    settings = make_settings()
    if settings.database_url.startswith("sqlite"):
        shutil.copy(initialized_database, str(make_url(settings.database_url).database))
    app = create_app(settings, clock.now)
    app.testing = True
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def ada(client: FlaskClient) -> ApiUser:
    """Return a user that has just registered."""
    return ApiUser.register(client, "ada", email="ada@example.org")


@pytest.fixture
def list_events(app: Flask) -> Callable[[], list[tuple[str, str, dict[str, object]]]]:
    """Return a function that returns type, subject and data of the domain events, oldest first."""
    outbox = Outbox("auth", get_component(app, SessionService)._database, "events")

    def list_pending() -> list[tuple[str, str, dict[str, object]]]:
        events = outbox.list_pending_events(100)
        return [(event.type, event.subject, dict(event.data)) for event in events]

    return list_pending


@pytest.fixture
def execute(app):
    """Return a function that runs an SQL statement on the tables of the service."""
    database = get_component(app, SessionService)._database

    def run(statement: str, **values: object) -> list[tuple]:
        with database.write() as session:
            result = session.execute(text(statement), values)
            return [tuple(row) for row in result] if result.returns_rows else []

    return run
