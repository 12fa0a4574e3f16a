"""Fixtures: gRPC servers with the components of an agent service."""

import pytest

from backend.services.agent.rpc.services import SERVICES
from tests.rpc import connect, run_rpc_server


@pytest.fixture
def rpc(app):
    """A client of the agent with the rule-based model."""
    with run_rpc_server(app, SERVICES) as server, connect(server, SERVICES) as client:
        yield client


@pytest.fixture
def scripted_rpc(scripted_app):
    """A client of the agent with the scripted model."""
    with run_rpc_server(scripted_app, SERVICES) as server, connect(server, SERVICES) as client:
        yield client
