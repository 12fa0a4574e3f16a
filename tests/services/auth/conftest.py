"""An auth service of one's own, with a clock that the test sets."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from backend.chassis.settings import Env
from backend.security.settings import SecuritySettings
from backend.services.auth.app import create_app
from backend.services.auth.domain.sessions import Sessions
from backend.services.auth.settings import Settings
from tests.services.auth.people import Clock, Person

ADMIN_PASSWORD = "an admin's own words"


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime(2026, 1, 1, 12, tzinfo=UTC))


@pytest.fixture
def make_settings(tmp_path: Path, database_url: str) -> Callable[..., Settings]:
    def make(**environment: str) -> Settings:
        values = {
            "DATA_DIR": str(tmp_path),
            "DATABASE_URL": database_url,
            "ADMIN_PASSWORD": ADMIN_PASSWORD,
            "LOGINS_AT_ONCE": "16",
        } | environment
        settings = Settings.from_env(Env(values))
        alone = SecuritySettings.from_env({"DATA_DIR": str(tmp_path), **environment})
        return replace(settings, security=alone)

    return make


@pytest.fixture
def app(make_settings: Callable[..., Settings], clock: Clock) -> Flask:
    app = create_app(make_settings(), clock.now)
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
