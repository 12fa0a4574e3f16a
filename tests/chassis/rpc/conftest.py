"""Fixtures: an app without routes, and a gRPC server with handlers that tests choose."""

import pytest

from backend.chassis.settings import CommonSettings, Env
from backend.chassis.web.app_factory import create_service, verify_routes
from tests.chassis.rpc.stand_ins import AnswerHandlers, create_services
from tests.rpc import connect, run_rpc_server


@pytest.fixture
def make_app(tmp_path, identities):
    def make():
        common = CommonSettings.from_env(Env({"DATA_DIR": str(tmp_path)}), "admin")
        return identities.trust(verify_routes(create_service(common, {})))

    return make


@pytest.fixture
def app(make_app):
    return make_app()


@pytest.fixture
def handlers():
    return AnswerHandlers()


@pytest.fixture
def services(handlers):
    return create_services(handlers)


@pytest.fixture
def server(app, services):
    with run_rpc_server(app, services) as server:
        yield server


@pytest.fixture
def client(server, services):
    with connect(server, services) as client:
        yield client


@pytest.fixture
def ada(identities):
    return identities.bearer("user-ada")
