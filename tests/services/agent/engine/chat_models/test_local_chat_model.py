"""The local model with a scripted server: its prompts, and how its responses are used."""

import json
from dataclasses import replace

import pytest

from backend.ai.chat_models import EMBEDDED, ModelAddress
from backend.services.agent.app import create_app
from tests.services.agent.fakes import Reply, WordEmbedder, parse_events, post_query

BOAT = "The boat is called Aurora and was built in Bergen in 1931."


@pytest.fixture
def local_client(settings, model, identities):
    """A client of an agent with the local model."""
    address = ModelAddress.for_local_model(model.url, "a secret")
    models = replace(settings.models, addresses=[address, EMBEDDED])
    app = create_app(replace(settings, models=models), embedder=WordEmbedder())
    return identities.trust(app).test_client()


def build_call_reply(tool, **arguments):
    return Reply(text=json.dumps({"tool": tool, "arguments": arguments}))


def test_local_model_chooses_a_tool_by_schema_and_answers_from_chunks(
    local_client, model, rag_service, ada
):
    rag_service.add_document(BOAT, ada)
    model.queue_replies(
        build_call_reply("search_documents", query="boat built"), Reply(text="In Bergen, in 1931.")
    )

    events = parse_events(
        post_query(local_client, ada, "Where and when was it built, please?", stream=True)
    )

    choice_request, answer_request = model.requests
    tools = [
        schema["properties"]["tool"]["const"] for schema in choice_request["json_schema"]["anyOf"]
    ]
    assert {"search_documents", "list_documents", "answer_directly"} <= set(tools)
    examples = [
        json.loads(m["content"]) for m in choice_request["messages"] if m["role"] == "assistant"
    ]
    assert sum(example["tool"] == "search_documents" for example in examples) >= 5
    assert BOAT in answer_request["messages"][-1]["content"]
    done = events[-1][1]
    assert done["model"] == "embedded-local"
    assert done["response"].startswith("In Bergen, in 1931.")
    assert done["citations"][0]["quote"] in BOAT
    assert done["usage"]["completion_tokens"] == 14


@pytest.mark.parametrize(
    ("request_", "response"),
    [("What is 6 times 7?", "6 * 7 = 42"), ("hello", "Hello.")],
)
def test_local_model_is_not_called_for_requests_that_rules_answer(
    local_client, model, ada, request_, response
):
    assert post_query(local_client, ada, request_).json["response"].startswith(response)
    assert model.requests == []


@pytest.mark.parametrize(
    "choice",
    [
        pytest.param(Reply(text='{"tool": "search_doc', finish_reason="length"), id="truncated"),
        pytest.param(Reply(status=400), id="unsupported schema"),
    ],
)
def test_planner_chooses_the_tool_if_the_local_model_fails(
    local_client, model, rag_service, ada, choice
):
    rag_service.add_document(BOAT, ada)
    model.queue_replies(choice, Reply(text="In Bergen."))

    answer = post_query(local_client, ada, "Where was the boat built?").json

    assert [step["tool"] for step in answer["steps"]] == ["search_documents"]


def test_key_of_the_local_model_depends_on_the_secret(model):
    one, another = (
        ModelAddress.for_local_model(model.url, secret) for secret in ("a secret", "another")
    )

    assert one.key != another.key
    assert one.key not in repr(one)


def test_unreachable_local_model_returns_503_without_fallback(settings, identities, ada):
    address = ModelAddress.for_local_model("http://127.0.0.1:9", "a secret")
    models = replace(settings.models, addresses=[address, EMBEDDED])
    app = create_app(replace(settings, models=models), embedder=WordEmbedder())

    response = post_query(identities.trust(app).test_client(), ada, "Where was the boat built?")

    assert (response.status_code, response.json["code"]) == (503, "model_unavailable")
