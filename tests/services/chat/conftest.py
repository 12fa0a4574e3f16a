"""Fixtures: a chat service with a fake agent and a fake auth."""

from datetime import timedelta

import pytest

from backend.chassis.settings import CommonSettings, Secret
from backend.chassis.web.app_factory import get_component
from backend.security import BUILT_IN_ROLES
from backend.services.chat.app import create_app
from backend.services.chat.jobs.waking import WorkerWaker
from backend.services.chat.settings import Settings
from backend.services.chat.wiring import ChatComponents
from tests.databases import database_in
from tests.services.agent.fakes import run_server
from tests.services.chat.fakes import FakeAgent

TEAM = "tenant-team"


@pytest.fixture(scope="module")
def agent_server():
    with run_server(FakeAgent()) as agent:
        yield agent


@pytest.fixture
def agent(agent_server):
    """An agent that repeats the request. It also answers as auth."""
    agent_server.reset()
    return agent_server


@pytest.fixture
def settings(tmp_path, agent):
    common = CommonSettings(
        name="chat",
        is_production=False,
        host="127.0.0.1",
        port=5004,
        data_dir=tmp_path,
        redis_url=None,
        secret_key=Secret("a secret of the tests"),
    )
    return Settings(
        common=common,
        database_url=database_in(tmp_path, "chat"),
        agent_urls=(agent.url,),
        auth_urls=(agent.url,),
        worker_port=0,
        public_url="https://chat.example.org",
        private_hosts=(),
        max_wait=timedelta(seconds=10),
        session_lifetime=timedelta(seconds=3600),
        config_cache_lifetime=timedelta(seconds=300),
        response_cache_lifetime=timedelta(seconds=1800),
        mongodb_variables=(),
    )


@pytest.fixture
def app(settings, identities):
    app = identities.trust(create_app(settings))
    yield app
    # Its thread would read tables that no longer exist.
    get_component(app, WorkerWaker).stop()


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture
def components(app):
    return get_component(app, ChatComponents)


@pytest.fixture
def bearers(identities):
    """Return a function from a name and a role to the headers of a member of the team."""

    def bearer(name, role="user"):
        return identities.bearer(f"user-{name}", tenant_id=TEAM, permissions=BUILT_IN_ROLES[role])

    return bearer


@pytest.fixture
def ada(bearers):
    return bearers("ada")


@pytest.fixture
def bob(bearers):
    return bearers("bob")


@pytest.fixture
def colleague(bearers):
    return bearers("cleo", "support")


@pytest.fixture
def manager(bearers):
    return bearers("mia", "tenant_admin")
