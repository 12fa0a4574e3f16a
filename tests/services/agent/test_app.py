"""The agent's app: start, tools, models and OpenAPI."""

import subprocess
import sys
from threading import Semaphore

import pytest

from backend.chassis.web.app_factory import use
from backend.services.agent.domain.tool_list import ToolListService
from backend.services.agent.engine.runner import AgentRunner
from tests.services.agent.fakes import post_query


def test_import_of_the_app_does_not_load_model_libraries():
    """They take seconds to import, and readiness probes must not wait for them."""
    code = (
        "import sys, backend.services.agent.app;"
        "print([m for m in ('langchain', 'langchain_core', 'langgraph', 'openai', 'onnxruntime')"
        " if m in sys.modules])"
    )

    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert process.stdout.strip() == "[]"


@pytest.fixture
def warm_ups(monkeypatch):
    """Count the imports of LangChain instead of running them."""
    started = Semaphore(0)
    monkeypatch.setattr(AgentRunner, "warm_up", lambda _: started.release())
    return started


def test_langchain_is_not_imported_without_a_model(client, ada, warm_ups):
    assert client.get("/tools", headers=ada).status_code == 200
    assert post_query(client, ada, "Who patented the typewriter in 1868?").status_code == 200

    assert not warm_ups.acquire(timeout=0.2)


def test_langchain_is_imported_after_the_first_probe_with_a_model(scripted_client, warm_ups):
    assert scripted_client.get("/health").status_code == 200

    assert warm_ups.acquire(timeout=10)


def test_tools_are_listed_with_parameters_and_side_effects(client, ada):
    tools = {tool["name"]: tool for tool in client.get("/tools", headers=ada).json["items"]}

    assert tools["save_note"]["side_effects"] is True
    assert tools["search_documents"]["side_effects"] is False
    assert {tool["source"] for tool in tools.values()} == {"suite"}
    assert tools["calculate"]["parameters"]["required"] == ["expression"]


def test_tool_list_contains_only_permitted_tools(client, identities):
    viewer = identities.bearer("user-vic", permissions=["rag:read", "agent:query"])

    tools = {tool["name"] for tool in client.get("/tools", headers=viewer).json["items"]}

    assert "search_documents" in tools
    assert "save_note" not in tools


def test_default_model_is_listed_first(scripted_client, ada):
    assert scripted_client.get("/models", headers=ada).json["items"] == [
        {
            "id": "scripted",
            "provider": "openai-compatible",
            "default": True,
            "context_tokens": None,
            "capabilities": ["streaming", "tools", "writing"],
            "price": None,
        },
        {
            "id": "embedded-lite",
            "provider": "embedded",
            "default": False,
            "context_tokens": None,
            "capabilities": ["streaming", "tools", "quoting"],
            "price": None,
        },
    ]


def test_openapi_contains_the_routes(app, client):
    paths = client.get("/openapi.json").json["paths"]

    assert {"/query", "/sessions", "/v1/chat/completions", "/tools"} <= paths.keys()
    with app.app_context():
        assert use(ToolListService).models


def test_ready_returns_200_if_the_database_responds(client):
    assert client.get("/health/ready").status_code == 200
