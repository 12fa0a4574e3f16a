"""Fixtures: the packages service with SQLite in a temporary folder and a clock."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.chassis.settings import CommonSettings, Secret
from backend.chassis.web.app_factory import get_component
from backend.services.packages.app import BackgroundTasks, create_app
from backend.services.packages.model import Quotas
from backend.services.packages.settings import Settings
from backend.services.packages.wiring import PackageComponents
from tests.databases import database_in
from tests.identities import Identities

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)


class Clock:
    """A clock that tests move. Each reading is a millisecond later."""

    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> datetime:
        self.time += timedelta(milliseconds=1)
        return self.time


class Api:
    """Requests of one caller to the service."""

    def __init__(self, client: FlaskClient, token: str) -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer {token}"}

    def __call__(self, method: str, path: str, **arguments):
        headers = self._headers | arguments.pop("headers", {})
        return self._client.open(path, method=method, headers=headers, **arguments)

    def get(self, path: str, **arguments):
        return self("GET", path, **arguments)

    def post(self, path: str, **arguments):
        return self("POST", path, **arguments)

    def create(self, number: str = "1Z5R89390357567127", **fields) -> dict:
        """Create a package and return it."""
        response = self.post("/packages", json={"tracking_number": number} | fields)
        assert response.status_code == 201, response.json
        return response.json

    def add_events(self, package: dict, *events: dict) -> dict:
        """Add events to the package and return the result."""
        path = f"/packages/{package['id']}/events"
        response = self.post(path, json={"events": list(events)})
        assert response.status_code == 200, response.json
        return response.json


def event(code: str, time: str = "2026-06-10T08:00:00Z", **fields) -> dict:
    """Return an event as clients send it."""
    return {"code": code, "occurred_at": time} | fields


def build_settings(folder: Path, **changes) -> Settings:
    """Return settings for a data folder, with *changes*."""
    common = CommonSettings(
        name="packages",
        is_production=False,
        host="127.0.0.1",
        port=5007,
        data_dir=folder,
        redis_url=None,
        secret_key=Secret("a secret of the tests, long enough"),
    )
    values = {
        "common": common,
        "database_url": database_in(folder, "packages"),
        "quotas": Quotas(packages=200, events=50, export_rows=100),
    }
    return Settings(**(values | changes))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(tmp_path: Path, identities: Identities, clock: Clock) -> Iterator[Flask]:
    app = create_app(build_settings(tmp_path), now=clock)
    app.testing = True
    yield identities.trust(app)
    get_component(app, BackgroundTasks).stop()
    get_component(app, PackageComponents).close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def sign_in(client: FlaskClient, identities: Identities) -> Callable[..., Api]:
    """Return a function that returns the requests of a caller."""

    def build(tenant_id: str = "ten_home", permissions=("packages:read", "packages:write")) -> Api:
        token = identities.token(tenant_id=tenant_id, permissions=permissions)
        return Api(client, token)

    return build


@pytest.fixture
def api(sign_in: Callable[..., Api]) -> Api:
    return sign_in()
