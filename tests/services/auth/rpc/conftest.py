"""Fixtures: a gRPC server with the components of an auth service."""

import pytest

from backend.services.auth.rpc.services import SERVICES
from tests.rpc import connect, run_rpc_server
from tests.services.auth.api_user import ApiUser
from tests.services.auth.conftest import ADMIN_PASSWORD


@pytest.fixture
def rpc(app):
    with run_rpc_server(app, SERVICES) as server, connect(server, SERVICES) as client:
        yield client


@pytest.fixture
def admin(client):
    return ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)
