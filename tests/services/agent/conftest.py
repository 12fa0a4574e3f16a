"""An agent with a shelf of documents, thinking by itself or with a scripted model."""

import importlib
from dataclasses import replace
from datetime import timedelta

import pytest

from backend.ai.chat_models import Address, ModelSettings
from backend.chassis.settings import CommonSettings, Secret
from backend.services.agent.app import create_app
from backend.services.agent.clients.runs import Limits
from backend.services.agent.settings import Settings
from tests.databases import database_in
from tests.services.agent.stand_ins import ScriptedModel, Shelf, WordEmbedder, serving


@pytest.fixture
def shelf():
    with serving(Shelf()) as shelf:
        yield shelf


@pytest.fixture
def model():
    with serving(ScriptedModel()) as model:
        yield model


@pytest.fixture(scope="session")
def imported():
    """LangChain, which takes seconds to import: no test's patience shall be spent on that."""
    importlib.import_module("backend.services.agent.clients.graph")


@pytest.fixture
def settings(tmp_path, shelf, imported):
    common = CommonSettings(
        name="agent",
        production=False,
        host="127.0.0.1",
        port=5002,
        data_dir=tmp_path,
        redis_url=None,
        secret_key=Secret("a secret of the tests"),
    )
    return Settings(
        common=common,
        database_url=database_in(tmp_path, "agent"),
        rag_urls=(shelf.url,),
        models=ModelSettings(timeout=timedelta(seconds=1)),
        limits=Limits(run_time=timedelta(seconds=20), tool_time=timedelta(seconds=1)),
    )


@pytest.fixture
def app(settings, identities):
    return identities.trust(create_app(settings, embedder=WordEmbedder()))


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture
def scripted_settings(settings, model):
    address = Address.at("openai", "scripted", f"{model.url}/v1")
    return replace(settings, models=replace(settings.models, addresses=[address]))


@pytest.fixture
def scripted_app(scripted_settings, identities):
    return identities.trust(create_app(scripted_settings, embedder=WordEmbedder()))


@pytest.fixture
def scripted(scripted_app):
    """A client of the agent that thinks with the scripted model."""
    return scripted_app.test_client()


@pytest.fixture
def ada(identities):
    return identities.bearer("user-ada")


@pytest.fixture
def bob(identities):
    return identities.bearer("user-bob")
