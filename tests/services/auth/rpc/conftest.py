"""Fixtures: a gRPC server with the components of an auth service."""

import shutil

import pytest

from backend.services.auth.app import create_app
from backend.services.auth.rpc.services import SERVICES
from tests.databases import database_in
from tests.rpc import connect, run_rpc_server
from tests.services.auth.api_user import ApiUser
from tests.services.auth.conftest import ADMIN_PASSWORD, START_TIME, load_settings


@pytest.fixture
def rpc(app):
    with run_rpc_server(app, SERVICES) as server, connect(server, SERVICES) as client:
        yield client


@pytest.fixture
def admin(client):
    return ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)


@pytest.fixture(scope="module")
def shared(tmp_path_factory, initialized_database):
    """Clients over HTTP and gRPC, a user and the admin, for tests without state of their own."""
    folder = tmp_path_factory.mktemp("shared")
    url = database_in(folder, "auth")
    if url.startswith("sqlite"):
        shutil.copy(initialized_database, folder / "auth.db")
    app = create_app(load_settings(folder, url), lambda: START_TIME)
    app.testing = True
    client = app.test_client()
    with run_rpc_server(app, SERVICES) as server, connect(server, SERVICES) as rpc:
        ada = ApiUser.register(client, "ada", email="ada@example.org")
        yield client, rpc, ada, ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)
