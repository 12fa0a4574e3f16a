"""The agent's app as a whole."""

import subprocess
import sys

from backend.chassis.web.app_factory import use
from backend.services.agent.domain.catalogue import Catalogue


def test_starting_waits_for_no_model_library():
    """LangChain takes seconds to import; probes must not wait for it."""
    code = (
        "import sys, backend.services.agent.app;"
        "print([m for m in ('langchain', 'langchain_core', 'langgraph', 'openai', 'onnxruntime')"
        " if m in sys.modules])"
    )

    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert loaded.stdout.strip() == "[]"


def test_the_tools_are_listed_with_what_they_take(client, ada):
    listed = {tool["name"]: tool for tool in client.get("/tools", headers=ada).json["items"]}

    assert listed["save_note"]["side_effects"] is True
    assert listed["search_documents"]["side_effects"] is False
    assert {tool["source"] for tool in listed.values()} == {"suite"}
    assert listed["calculate"]["parameters"]["required"] == ["expression"]


def test_a_caller_sees_the_tools_that_their_permissions_grant(client, identities):
    viewer = identities.bearer("user-vic", permissions=["rag:read", "agent:query"])

    listed = {tool["name"] for tool in client.get("/tools", headers=viewer).json["items"]}

    assert "search_documents" in listed
    assert "save_note" not in listed


def test_the_models_are_listed_the_default_first(scripted, ada):
    assert scripted.get("/models", headers=ada).json["items"] == [
        {
            "id": "scripted",
            "provider": "openai-compatible",
            "default": True,
            "context_tokens": None,
            "capabilities": ["streaming", "tools", "writing"],
        },
        {
            "id": "embedded-lite",
            "provider": "embedded",
            "default": False,
            "context_tokens": None,
            "capabilities": ["streaming", "tools", "quoting"],
        },
    ]


def test_every_route_is_described(app, client):
    paths = client.get("/openapi.json").json["paths"]

    assert {"/query", "/sessions", "/v1/chat/completions", "/tools"} <= paths.keys()
    with app.app_context():
        assert use(Catalogue).models


def test_it_is_ready_when_its_database_answers(client):
    assert client.get("/health/ready").status_code == 200
