"""Fixtures: agent apps with the rule-based or a scripted model, and a fake rag service."""

import importlib
from dataclasses import replace
from datetime import timedelta

import pytest

from backend.ai.chat_models import ModelAddress, ModelSettings
from backend.chassis.settings import CommonSettings, Secret
from backend.services.agent.app import create_app
from backend.services.agent.model import RunLimits
from backend.services.agent.settings import Settings
from tests.databases import database_in
from tests.periodic_tasks import stopping_periodic_tasks
from tests.services.agent.fakes import FakeRagService, ScriptedModel, WordEmbedder, run_server


@pytest.fixture(autouse=True)
def _stop_periodic_tasks(monkeypatch):
    with stopping_periodic_tasks(monkeypatch):
        yield


@pytest.fixture
def rag_service():
    with run_server(FakeRagService()) as rag_service:
        yield rag_service


@pytest.fixture
def model():
    with run_server(ScriptedModel()) as model:
        yield model


@pytest.fixture(scope="session")
def import_graph():
    """Import LangChain once: it takes seconds, which must not count towards timeouts of tests."""
    importlib.import_module("backend.services.agent.engine.graph")


@pytest.fixture
def settings(tmp_path, rag_service, import_graph):
    common = CommonSettings(
        name="agent",
        is_production=False,
        host="127.0.0.1",
        port=5002,
        data_dir=tmp_path,
        redis_url=None,
        secret_key=Secret("a secret of the tests"),
    )
    return Settings(
        common=common,
        database_url=database_in(tmp_path, "agent"),
        rag_urls=(rag_service.url,),
        models=ModelSettings(timeout=timedelta(seconds=4)),
        limits=RunLimits(run_timeout=timedelta(seconds=20), tool_timeout=timedelta(seconds=4)),
    )


@pytest.fixture
def app(settings, identities):
    return identities.trust(create_app(settings, embedder=WordEmbedder()))


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture
def scripted_settings(settings, model):
    address = ModelAddress.for_server("openai", "scripted", f"{model.url}/v1")
    return replace(settings, models=replace(settings.models, addresses=[address]))


@pytest.fixture
def scripted_app(scripted_settings, identities):
    return identities.trust(create_app(scripted_settings, embedder=WordEmbedder()))


@pytest.fixture
def short_timeout_client(scripted_settings, identities):
    """A client of an agent whose models and tools have a second. Others have time to respond."""
    limits = replace(scripted_settings.limits, tool_timeout=timedelta(seconds=1))
    models = replace(scripted_settings.models, timeout=timedelta(seconds=1))
    settings = replace(scripted_settings, limits=limits, models=models)
    return identities.trust(create_app(settings, embedder=WordEmbedder())).test_client()


@pytest.fixture
def scripted_client(scripted_app):
    """A client of the agent with the scripted model."""
    return scripted_app.test_client()


@pytest.fixture
def ada(identities):
    return identities.bearer("user-ada")


@pytest.fixture
def bob(identities):
    return identities.bearer("user-bob")
