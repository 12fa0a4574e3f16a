"""The agent on every kind of model server: what a caller sees is the same."""

import socket
from dataclasses import replace
from datetime import timedelta

import pytest

from backend.ai.chat_models import EMBEDDED, Address
from backend.services.agent.app import create_app
from tests.services.agent.dialects import AnthropicServer, OllamaServer
from tests.services.agent.stand_ins import (
    Reply,
    ScriptedModel,
    WordEmbedder,
    ask,
    events,
    serving,
)

TEMPERATURE, MOST_TOKENS = 0.25, 123


def address(server, name="scripted"):
    url = f"{server.url}/v1" if server.wire == "openai" else server.url
    return replace(Address.at(server.wire, name, url), key="a key")


@pytest.fixture
def start(settings, identities):
    """A client of an agent with these models."""

    def started(*addresses, **more):
        patience = timedelta(seconds=more.pop("patience", 10))
        models = replace(settings.models, addresses=addresses, timeout=patience, **more)
        app = create_app(replace(settings, models=models), embedder=WordEmbedder())
        return identities.trust(app).test_client()

    return started


@pytest.fixture(params=[ScriptedModel, OllamaServer, AnthropicServer], ids=lambda each: each.wire)
def server(request):
    with serving(request.param()) as server:
        yield server


def test_what_is_known_of_models_is_listed_without_asking_them(start, absent, ada):
    ollama, anthropic = (
        replace(absent, provider=each, id=each) for each in ("ollama", "anthropic")
    )

    listed = start(absent, ollama, anthropic).get("/models", headers=ada).json["items"]

    assert [(each["id"], each["default"], each["context_tokens"]) for each in listed] == [
        ("absent", True, None),
        ("ollama", False, 8_192),
        ("anthropic", False, None),
        ("embedded-lite", False, None),
    ]


def test_an_answer_streams_and_tells_what_it_used(start, server, ada):
    server.will(Reply(text="Seven small boats."))

    told = events(ask(start(address(server)), ada, "How many boats?", stream=True))

    tokens = [data["text"] for name, data in told if name == "token"]
    assert (len(tokens), "".join(tokens)) == (3, "Seven small boats.")
    done = told[-1][1]
    assert (done["model"], done["finish_reason"]) == ("scripted", "stop")
    assert done["usage"] == {"prompt_tokens": 11, "completion_tokens": 7}


def test_tools_are_called_side_by_side_and_their_answers_come_back(start, server, ada):
    sums = [("calculate", {"expression": "6 * 7"}), ("calculate", {"expression": "2 + 2"})]
    server.will(Reply(calls=sums), Reply(text="42 and 4."))

    answer = ask(start(address(server)), ada, "Two sums, please").json

    assert answer["response"] == "42 and 4."
    assert [step["arguments"]["expression"] for step in answer["steps"]] == ["6 * 7", "2 + 2"]
    assert "42" in str(server.requests[1]["messages"])
    assert answer["usage"] == {"prompt_tokens": 22, "completion_tokens": 14}


def test_what_the_caller_chose_reaches_the_model(start, server, ada):
    server.will(Reply(text="Yes."))

    ask(start(address(server)), ada, "Hm?", temperature=TEMPERATURE, max_tokens=MOST_TOKENS)

    asked = server.requests[0]
    chosen = asked.get("options", asked)
    assert chosen["temperature"] == TEMPERATURE
    assert MOST_TOKENS in {chosen.get("max_tokens"), chosen.get("num_predict")}
    assert chosen.get("num_ctx", 8192) == 8192


@pytest.mark.parametrize(
    ("replies", "status", "code"),
    [
        pytest.param([Reply(status=500)] * 2, 503, "model_unavailable", id="server error"),
        pytest.param([Reply(status=401)], 503, "model_unavailable", id="key refused"),
        pytest.param([Reply(status=404)], 503, "model_unavailable", id="no such model"),
        pytest.param([Reply(status=400)], 502, "model_misbehaved", id="request refused"),
        pytest.param(
            [Reply(text="Half an", break_off=True)], 503, "model_unavailable", id="dies midway"
        ),
        pytest.param(
            [Reply(text="Half an", error_midway=True)], 503, "model_unavailable", id="error midway"
        ),
        pytest.param([Reply(stall=1.3)] * 2, 504, "model_timeout", id="stalls"),
    ],
)
def test_each_fault_has_its_name(start, server, ada, replies, status, code):
    server.will(*replies)
    client = start(address(server), patience=1 if replies[0].stall else 10)

    response = ask(client, ada, "Anything?")

    assert (response.status_code, response.json["code"]) == (status, code)


def test_arguments_that_are_cut_off_are_never_guessed(start, ada):
    with serving(AnthropicServer()) as server:
        cut = Reply(calls=[("calculate", '{"expression": "6 * 7')])
        server.will(cut, Reply(text="Sorry."))

        answer = ask(start(address(server)), ada, "A sum").json

    assert [step["status"] for step in answer["steps"]] == ["error"]
    assert answer["response"] == "Sorry."


@pytest.fixture
def absent():
    """A model on a port where nobody listens, and that nobody else is given meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield Address.at("openai", "absent", f"http://127.0.0.1:{held.getsockname()[1]}/v1")


@pytest.mark.parametrize(
    ("wire", "stream"), [("openai", False), ("ollama", True), ("anthropic", False)]
)
def test_a_fallback_answers_for_a_default_that_is_not_there(start, absent, ada, wire, stream):
    with serving(ScriptedModel()) as server:
        server.will(Reply(text="I stand in."))
        client = start(replace(absent, provider=wire), address(server), fallback=["scripted"])

        response = ask(client, ada, "Anything?", stream=stream)
        answer = events(response)[-1][1] if stream else response.json

    assert (answer["response"], answer["model"]) == ("I stand in.", "scripted")
    kept = client.get(f"/sessions/{answer['session_id']}", headers=ada).json["messages"]
    assert kept[-1]["model"] == "scripted"
    shown = client.get("/metrics").text
    assert 'agent_model_fallbacks_total{error_type="model_unavailable",model="absent"' in shown


@pytest.mark.parametrize("reply", [Reply(status=429), Reply(stall=1.3)])
def test_a_fallback_answers_for_a_default_that_fails(start, ada, reply):
    with serving(ScriptedModel()) as first, serving(ScriptedModel()) as second:
        first.will(*[reply] * 2)
        second.will(Reply(text="I stand in."))
        models = address(first, "first"), address(second, "second")
        client = start(*models, fallback=["second"], patience=1)

        answer = ask(client, ada, "Anything?").json

    assert (answer["response"], answer["model"]) == ("I stand in.", "second")


def test_the_embedded_model_stands_in_only_where_the_operator_says_so(start, absent, ada):
    client = start(absent, EMBEDDED, fallback=["embedded-lite"])

    answer = ask(client, ada, "What is 6 times 7?").json

    assert (answer["model"], answer["response"]) == ("embedded-lite", "6 * 7 = 42")
    assert ask(start(absent), ada, "What is 6 times 7?").status_code == 503


def test_a_model_that_has_begun_to_speak_is_not_replaced(start, ada):
    with serving(ScriptedModel()) as first, serving(ScriptedModel()) as second:
        first.will(Reply(text="Half an", break_off=True))
        client = start(address(first, "first"), address(second, "second"), fallback=["second"])

        told = events(ask(client, ada, "Anything?", stream=True))

    assert told[-1][0] == "error"
    assert second.requests == []


def test_who_has_taken_over_keeps_the_run_to_its_end(start, absent, ada):
    with serving(ScriptedModel()) as server:
        server.will(Reply(calls=[("calculate", {"expression": "6 * 7"})]), Reply(text="42."))
        client = start(absent, address(server), fallback=["scripted"])

        answer = ask(client, ada, "A sum").json

    assert (answer["response"], answer["model"]) == ("42.", "scripted")
    assert len(server.requests) == 2


def test_a_model_chosen_by_name_gets_no_stand_in(start, absent, ada):
    with serving(ScriptedModel()) as server:
        client = start(address(server), absent, fallback=["scripted"])

        assert ask(client, ada, "Anything?", model="absent").status_code == 503


def test_openai_clients_hear_who_answered(start, absent, ada):
    with serving(ScriptedModel()) as server:
        server.will(Reply(text="I stand in."), Reply(text="Again."), Reply(text="And again."))
        client = start(absent, address(server), fallback=["scripted"])
        body = {"messages": [{"role": "user", "content": "Anything?"}]}
        function = {"name": "mine", "description": "", "parameters": {"type": "object"}}

        whole = client.post("/v1/chat/completions", json=body, headers=ada).json
        tools = {"tools": [{"type": "function", "function": function}]}
        passed_on = client.post("/v1/chat/completions", json=body | tools, headers=ada).json
        stream = client.post("/v1/chat/completions", json=body | {"stream": True}, headers=ada)

    assert (whole["model"], passed_on["model"]) == ("scripted", "scripted")
    assert '"model": "scripted"' in stream.text.split("data: ")[-2]
