"""The fetched model, with a server that is scripted: what it is asked, and what becomes of it."""

import json
from dataclasses import replace

import pytest

from backend.ai.chat_models import EMBEDDED, Address
from backend.services.agent.app import create_app
from tests.services.agent.stand_ins import Reply, WordEmbedder, ask, events

BOAT = "The boat is called Aurora and was built in Bergen in 1931."


@pytest.fixture
def local(settings, model, identities):
    """A client of an agent with the fetched model."""
    address = Address.local(model.url, "a secret")
    models = replace(settings.models, addresses=[address, EMBEDDED])
    app = create_app(replace(settings, models=models), embedder=WordEmbedder())
    return identities.trust(app).test_client()


def call(tool, **arguments):
    return Reply(text=json.dumps({"tool": tool, "arguments": arguments}))


def test_it_chooses_by_a_schema_of_calls_and_writes_from_the_passages(local, model, shelf, ada):
    shelf.hold(BOAT, ada)
    model.will(call("search_documents", query="boat built"), Reply(text="In Bergen, in 1931."))

    told = events(ask(local, ada, "Where and when was it built, please?", stream=True))

    choosing, writing = model.requests
    tools = [each["properties"]["tool"]["const"] for each in choosing["json_schema"]["anyOf"]]
    assert {"search_documents", "list_documents", "answer_directly"} <= set(tools)
    shown = [json.loads(m["content"]) for m in choosing["messages"] if m["role"] == "assistant"]
    assert sum(each["tool"] == "search_documents" for each in shown) >= 5
    assert BOAT in writing["messages"][-1]["content"]
    done = told[-1][1]
    assert done["model"] == "embedded-local"
    assert done["response"].startswith("In Bergen, in 1931.")
    assert done["citations"][0]["quote"] in BOAT
    assert done["usage"]["completion_tokens"] == 14


@pytest.mark.parametrize(
    ("request_", "response"),
    [("What is 6 times 7?", "6 * 7 = 42"), ("hello", "Hello.")],
)
def test_what_is_plain_is_not_asked_of_it(local, model, ada, request_, response):
    assert ask(local, ada, request_).json["response"].startswith(response)
    assert model.requests == []


@pytest.mark.parametrize(
    "choice",
    [
        pytest.param(Reply(text='{"tool": "search_doc', finish_reason="length"), id="cut off"),
        pytest.param(Reply(status=400), id="a schema that the server does not follow"),
    ],
)
def test_a_choice_that_fails_is_made_by_likeness_instead(local, model, shelf, ada, choice):
    shelf.hold(BOAT, ada)
    model.will(choice, Reply(text="In Bergen."))

    answer = ask(local, ada, "Where was the boat built?").json

    assert [step["tool"] for step in answer["steps"]] == ["search_documents"]


def test_its_server_takes_nobody_without_the_suites_key(model):
    one, another = (Address.local(model.url, secret) for secret in ("a secret", "another"))

    assert one.key != another.key
    assert one.key not in repr(one)


def test_a_server_that_is_down_is_told_and_the_lite_tier_is_not_put_in_its_place(
    settings, identities, ada
):
    address = Address.local("http://127.0.0.1:9", "a secret")
    models = replace(settings.models, addresses=[address, EMBEDDED])
    app = create_app(replace(settings, models=models), embedder=WordEmbedder())

    response = ask(identities.trust(app).test_client(), ada, "Where was the boat built?")

    assert (response.status_code, response.json["code"]) == (503, "model_unavailable")
