"""Fixtures: the admin service in front of four fake services with configurable statistics."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from backend.chassis.settings import Env
from backend.services.admin.app import create_app
from backend.services.admin.settings import STATS_SERVICES, Settings
from tests.identities import Identities
from tests.services.gateway.echo_service import EchoService


@pytest.fixture
def services() -> Iterator[dict[str, EchoService]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(EchoService(name)) for name in STATS_SERVICES}


@pytest.fixture
def chat_service() -> Iterator[EchoService]:
    with EchoService("chat") as service:
        yield service


@pytest.fixture
def client(
    tmp_path: Path,
    services: dict[str, EchoService],
    chat_service: EchoService,
    identities: Identities,
) -> FlaskClient:
    called = services | {"chat": chat_service}
    urls = {f"{name.upper()}_SERVICE_URL": service.url for name, service in called.items()}
    app = create_app(Settings.from_env(Env({"DATA_DIR": str(tmp_path), **urls})))
    return identities.trust(app).test_client()


@pytest.fixture
def admin(identities: Identities) -> dict[str, str]:
    return identities.bearer("user-admin", permissions=["system:read"])
