"""A gateway over one echoing service, as the Flask view."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from backend.chassis.dns import Names
from backend.chassis.settings import Env
from backend.security.authentication import security_of
from backend.security.limits import Limiter
from backend.services.gateway.app import create_app
from backend.services.gateway.settings import Settings
from tests.identities import Identities
from tests.services.gateway.stand_ins import EchoService


@pytest.fixture
def echo() -> Iterator[EchoService]:
    with EchoService() as service:
        yield service


@pytest.fixture
def settings_for(tmp_path: Path, echo: EchoService) -> Callable[..., Settings]:
    """Settings in which every service is the echo, and what else is named."""

    def build(**variables: str) -> Settings:
        values = {
            "DATA_DIR": str(tmp_path),
            "AUTH_SERVICE_URL": echo.url,
            "AGENT_SERVICE_URL": echo.url,
            "RAG_SERVICE_URL": echo.url,
            "RATE_LIMIT_API": "10000/minute",
            **variables,
        }
        return Settings.from_env(Env(values))

    return build


@pytest.fixture
def app_for(settings_for: Callable[..., Settings], identities: Identities) -> Callable[..., Flask]:
    """The gateway with the settings that are named, trusting the test's identities."""

    def build(names: Names | None = None, **variables: str) -> Flask:
        security = security_of(identities.trust(Flask("trusting")))
        app = create_app(settings_for(**variables), security, Limiter(None), names)
        app.testing = True
        return app

    return build


@pytest.fixture
def client(app_for):
    return app_for().test_client()
