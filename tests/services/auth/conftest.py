"""An auth service of one's own, with a clock that the test sets."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import make_url, text

from backend.chassis.settings import Env
from backend.security.settings import SecuritySettings
from backend.services.auth.app import create_app
from backend.services.auth.domain.sessions import Sessions
from backend.services.auth.settings import Settings
from tests.services.auth.people import Clock, Person

ADMIN_PASSWORD = "an admin's own words"
BEGINNING = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock(BEGINNING)


@pytest.fixture
def make_settings(tmp_path: Path, database_url: str) -> Callable[..., Settings]:
    return partial(settings_in, tmp_path, database_url)


def settings_in(folder: Path, database_url: str, **environment: str) -> Settings:
    values = {
        "DATA_DIR": str(folder),
        "DATABASE_URL": database_url,
        "ADMIN_PASSWORD": ADMIN_PASSWORD,
        "LOGINS_AT_ONCE": "16",
    } | environment
    settings = Settings.from_env(Env(values))
    alone = SecuritySettings.from_env({"DATA_DIR": str(folder), **environment})
    return replace(settings, security=alone)


@pytest.fixture(scope="session")
def started_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of a service after its first start; making them anew takes most of a start."""
    folder = tmp_path_factory.mktemp("started-once")
    file = folder / "auth.db"
    app = create_app(settings_in(folder, f"sqlite:///{file}"), lambda: BEGINNING)
    app.extensions["backend.parts"][Sessions]._database.engine.dispose()
    return file


@pytest.fixture
def app(make_settings: Callable[..., Settings], clock: Clock, started_once: Path) -> Flask:
    settings = make_settings()
    if settings.database_url.startswith("sqlite"):
        shutil.copy(started_once, str(make_url(settings.database_url).database))
    app = create_app(settings, clock.now)
    app.testing = True
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def ada(client: FlaskClient) -> Person:
    """Somebody who has just registered."""
    return Person.register(client, "ada", email="ada@example.org")


@pytest.fixture
def execute(app):
    """Change the tables behind the service's back."""
    database = app.extensions["backend.parts"][Sessions]._database

    def run(statement: str, **values: object) -> list[tuple]:
        with database.write() as session:
            result = session.execute(text(statement), values)
            return [tuple(row) for row in result] if result.returns_rows else []

    return run


@pytest.fixture
def a_minute() -> timedelta:
    return timedelta(minutes=1)
