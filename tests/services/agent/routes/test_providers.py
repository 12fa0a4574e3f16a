"""Tests of the agent with all kinds of model servers."""

import socket
from dataclasses import replace
from datetime import timedelta

import pytest

from backend.ai.chat_models import EMBEDDED, ModelAddress
from backend.services.agent.app import create_app
from tests.metrics import read_metrics_page
from tests.services.agent.fakes import (
    Reply,
    ScriptedModel,
    WordEmbedder,
    parse_events,
    post_query,
    run_server,
)
from tests.services.agent.provider_servers import AnthropicServer, OllamaServer

TEMPERATURE, MAX_TOKENS = 0.25, 123


def address(server, name="scripted"):
    url = f"{server.url}/v1" if server.protocol == "openai" else server.url
    return replace(ModelAddress.for_server(server.protocol, name, url), key="a key")


@pytest.fixture
def start_agent(settings, identities):
    """Return a function that starts an agent with the given models and returns a client."""

    def start(*addresses, timeout_seconds=10, **more):
        timeout = timedelta(seconds=timeout_seconds)
        models = replace(settings.models, addresses=addresses, timeout=timeout, **more)
        app = create_app(replace(settings, models=models), embedder=WordEmbedder())
        return identities.trust(app).test_client()

    return start


@pytest.fixture(
    params=[ScriptedModel, OllamaServer, AnthropicServer], ids=lambda server: server.protocol
)
def server(request):
    with run_server(request.param()) as server:
        yield server


def test_models_are_listed_without_requests_to_their_servers(start_agent, absent, ada):
    ollama, anthropic = (
        replace(absent, provider=name, id=name) for name in ("ollama", "anthropic")
    )

    listed = start_agent(absent, ollama, anthropic).get("/models", headers=ada).json["items"]

    assert [(model["id"], model["default"], model["context_tokens"]) for model in listed] == [
        ("absent", True, None),
        ("ollama", False, 8_192),
        ("anthropic", False, None),
        ("embedded-lite", False, None),
    ]


def test_models_are_listed_with_their_price(settings, identities, absent, ada):
    models = replace(settings.models, addresses=(absent,))
    priced = replace(settings, models=models, prices={"absent": (0.5, 2.0)})
    client = identities.trust(create_app(priced, embedder=WordEmbedder())).test_client()

    listed = client.get("/models", headers=ada).json["items"]

    assert {model["id"]: model["price"] for model in listed} == {
        "absent": {"input": 0.5, "output": 2.0},
        "embedded-lite": None,
    }


def test_streamed_answer_contains_tokens_and_usage(start_agent, server, ada):
    server.queue_replies(Reply(text="Seven small boats."))

    events = parse_events(
        post_query(start_agent(address(server)), ada, "How many boats?", stream=True)
    )

    tokens = [data["text"] for name, data in events if name == "token"]
    # Text that arrives together can be one token event.
    assert 1 <= len(tokens) <= 3
    assert "".join(tokens) == "Seven small boats."
    done = events[-1][1]
    assert (done["model"], done["finish_reason"]) == ("scripted", "stop")
    assert done["usage"] == {"prompt_tokens": 11, "completion_tokens": 7}


def test_parallel_tool_calls_and_their_results_are_supported(start_agent, server, ada):
    sums = [("calculate", {"expression": "6 * 7"}), ("calculate", {"expression": "2 + 2"})]
    server.queue_replies(Reply(calls=sums), Reply(text="42 and 4."))

    answer = post_query(start_agent(address(server)), ada, "Two sums, please").json

    assert answer["response"] == "42 and 4."
    # Parallel calls are listed in the order in which they end.
    assert {step["arguments"]["expression"] for step in answer["steps"]} == {"6 * 7", "2 + 2"}
    assert "42" in str(server.requests[1]["messages"])
    assert answer["usage"] == {"prompt_tokens": 22, "completion_tokens": 14}


def test_model_receives_the_callers_parameters(start_agent, server, ada):
    server.queue_replies(Reply(text="Yes."))

    post_query(
        start_agent(address(server)), ada, "Hm?", temperature=TEMPERATURE, max_tokens=MAX_TOKENS
    )

    body = server.requests[0]
    parameters = body.get("options", body)
    assert parameters["temperature"] == TEMPERATURE
    assert MAX_TOKENS in {parameters.get("max_tokens"), parameters.get("num_predict")}
    assert parameters.get("num_ctx", 8192) == 8192


@pytest.mark.parametrize(
    ("replies", "status", "code"),
    [
        pytest.param([Reply(status=500)] * 2, 503, "model_unavailable", id="server error"),
        pytest.param([Reply(status=401)], 503, "model_unavailable", id="invalid key"),
        pytest.param([Reply(status=404)], 503, "model_unavailable", id="unknown model"),
        pytest.param([Reply(status=400)], 502, "model_misbehaved", id="rejected request"),
        pytest.param(
            [Reply(text="Half an", disconnects=True)],
            503,
            "model_unavailable",
            id="disconnects midway",
        ),
        pytest.param(
            [Reply(text="Half an", sends_error_event=True)],
            503,
            "model_unavailable",
            id="error midway",
        ),
        pytest.param([Reply(delay_seconds=1.3)] * 2, 504, "model_timeout", id="stalls"),
    ],
)
def test_server_failure_returns_its_error_code(start_agent, server, ada, replies, status, code):
    server.queue_replies(*replies)
    client = start_agent(address(server), timeout_seconds=1 if replies[0].delay_seconds else 10)

    response = post_query(client, ada, "Anything?")

    assert (response.status_code, response.json["code"]) == (status, code)


def test_truncated_arguments_are_a_failed_step(start_agent, ada):
    with run_server(AnthropicServer()) as server:
        truncated = Reply(calls=[("calculate", '{"expression": "6 * 7')])
        server.queue_replies(truncated, Reply(text="Sorry."))

        answer = post_query(start_agent(address(server)), ada, "A sum").json

    assert [step["status"] for step in answer["steps"]] == ["error"]
    assert answer["response"] == "Sorry."


@pytest.fixture
def absent():
    """A model on a port that is reserved but on which no server listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield ModelAddress.for_server(
            "openai", "absent", f"http://127.0.0.1:{reserved.getsockname()[1]}/v1"
        )


@pytest.mark.parametrize(
    ("wire", "stream"), [("openai", False), ("ollama", True), ("anthropic", False)]
)
def test_fallback_model_answers_if_the_default_is_unreachable(
    start_agent, absent, ada, wire, stream
):
    with run_server(ScriptedModel()) as server:
        server.queue_replies(Reply(text="From the fallback."))
        client = start_agent(
            replace(absent, provider=wire), address(server), fallback_ids=["scripted"]
        )

        response = post_query(client, ada, "Anything?", stream=stream)
        answer = parse_events(response)[-1][1] if stream else response.json

    assert (answer["response"], answer["model"]) == ("From the fallback.", "scripted")
    messages = client.get(f"/sessions/{answer['session_id']}", headers=ada).json["messages"]
    assert messages[-1]["model"] == "scripted"
    metrics = read_metrics_page(client)
    assert 'agent_model_fallbacks_total{error_type="model_unavailable",model="absent"' in metrics


@pytest.mark.slow
@pytest.mark.parametrize("reply", [Reply(status=429), Reply(delay_seconds=1.3)])
def test_fallback_model_answers_if_the_default_fails(start_agent, ada, reply):
    with run_server(ScriptedModel()) as first, run_server(ScriptedModel()) as second:
        first.queue_replies(*[reply] * 2)
        second.queue_replies(Reply(text="From the fallback."))
        models = address(first, "first"), address(second, "second")
        client = start_agent(*models, fallback_ids=["second"], timeout_seconds=1)

        answer = post_query(client, ada, "Anything?").json

    assert (answer["response"], answer["model"]) == ("From the fallback.", "second")


def test_rule_based_model_is_a_fallback_only_if_configured(start_agent, absent, ada):
    client = start_agent(absent, EMBEDDED, fallback_ids=["embedded-lite"])

    answer = post_query(client, ada, "What is 6 times 7?").json

    assert (answer["model"], answer["response"]) == ("embedded-lite", "6 * 7 = 42")
    assert post_query(start_agent(absent), ada, "What is 6 times 7?").status_code == 503


def test_fallback_is_not_used_after_the_first_token(start_agent, ada):
    with run_server(ScriptedModel()) as first, run_server(ScriptedModel()) as second:
        first.queue_replies(Reply(text="Half an", disconnects=True))
        client = start_agent(
            address(first, "first"), address(second, "second"), fallback_ids=["second"]
        )

        events = parse_events(post_query(client, ada, "Anything?", stream=True))

    assert events[-1][0] == "error"
    assert second.requests == []


def test_fallback_model_is_kept_for_the_rest_of_the_run(start_agent, absent, ada):
    with run_server(ScriptedModel()) as server:
        server.queue_replies(
            Reply(calls=[("calculate", {"expression": "6 * 7"})]), Reply(text="42.")
        )
        client = start_agent(absent, address(server), fallback_ids=["scripted"])

        answer = post_query(client, ada, "A sum").json

    assert (answer["response"], answer["model"]) == ("42.", "scripted")
    assert len(server.requests) == 2


def test_explicitly_requested_model_has_no_fallback(start_agent, absent, ada):
    with run_server(ScriptedModel()) as server:
        client = start_agent(address(server), absent, fallback_ids=["scripted"])

        assert post_query(client, ada, "Anything?", model="absent").status_code == 503


def test_openai_responses_name_the_fallback_model(start_agent, absent, ada):
    with run_server(ScriptedModel()) as server:
        server.queue_replies(
            Reply(text="From the fallback."), Reply(text="Again."), Reply(text="And again.")
        )
        client = start_agent(absent, address(server), fallback_ids=["scripted"])
        body = {"messages": [{"role": "user", "content": "Anything?"}]}
        function = {"name": "client_tool", "description": "", "parameters": {"type": "object"}}

        complete = client.post("/v1/chat/completions", json=body, headers=ada).json
        tools = {"tools": [{"type": "function", "function": function}]}
        with_client_tools = client.post("/v1/chat/completions", json=body | tools, headers=ada).json
        stream = client.post("/v1/chat/completions", json=body | {"stream": True}, headers=ada)

    assert (complete["model"], with_client_tools["model"]) == ("scripted", "scripted")
    assert '"model": "scripted"' in stream.text.split("data: ")[-2]
