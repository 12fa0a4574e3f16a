"""Fixtures: a gateway app whose services are all one echo service."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from backend.chassis.catalog import CATALOG
from backend.chassis.dns import HostResolver
from backend.chassis.settings import Env
from backend.security.authentication import get_security_context
from backend.security.limits import Limiter
from backend.services.gateway.app import create_app
from backend.services.gateway.settings import Settings
from tests.identities import Identities
from tests.services.gateway.echo_service import EchoService


@pytest.fixture
def echo() -> Iterator[EchoService]:
    with EchoService() as service:
        yield service


@pytest.fixture
def settings_for(tmp_path: Path, echo: EchoService) -> Callable[..., Settings]:
    """Return a function that creates settings with the given environment variables."""

    def build(**variables: str) -> Settings:
        values = {
            "DATA_DIR": str(tmp_path),
            **{entry.url_variable: echo.url for entry in CATALOG if not entry.is_gateway},
            "RATE_LIMIT_API": "10000/minute",
            **variables,
        }
        return Settings.from_env(Env(values))

    return build


@pytest.fixture
def app_for(settings_for: Callable[..., Settings], identities: Identities) -> Callable[..., Flask]:
    """Return a function that creates the gateway app; it trusts the test's identities."""

    def build(resolver: HostResolver | None = None, **variables: str) -> Flask:
        security = get_security_context(identities.trust(Flask("gateway")))
        app = create_app(settings_for(**variables), security, Limiter(None), resolver)
        app.testing = True
        return app

    return build


@pytest.fixture
def client(app_for):
    return app_for().test_client()
