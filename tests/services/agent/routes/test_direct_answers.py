"""The rule-based model answers without the graph, as the graph answers."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from backend.chassis.database.sessions import open_database
from backend.chassis.messaging.outbox import Outbox
from backend.services.agent.app import create_app
from backend.services.agent.engine.direct_answers import DirectAnswerRunner
from backend.services.agent.engine.graph import AgentGraph
from tests.metrics import read_metrics_page
from tests.services.agent.fakes import WordEmbedder, parse_events, post_query

DIRECT_REQUESTS = (
    "Hello!",
    "Thanks",
    "What is 12 * 7?",
    "What is 1 / 0?",
    "What time is it in Berlin?",
    "Hi! What is 2 + 2 and what is 3 * 3?",
    "What can you do?",
    "Who patented the typewriter in 1868?",
    "Who patented the typewriter in 1868, and what is 6 * 7?",
    "Which documents do I have?",
)
_VARYING = {"id", "session_id", "run_id", "message_id", "parent_id", "took_ms", "user_id"}


@pytest.fixture
def no_graph(monkeypatch):
    """Let every run of the graph fail."""

    async def fail(*_):
        raise AssertionError("The graph must not run.")

    monkeypatch.setattr(AgentGraph, "run_agent", fail)


@pytest.fixture
def always_graph(monkeypatch):
    """Return a function after whose call the graph executes all runs."""

    async def need_graph(*_):
        return False

    def replace_runner():
        monkeypatch.setattr(DirectAnswerRunner, "plan_run", lambda *_: None)
        monkeypatch.setattr(DirectAnswerRunner, "run", need_graph)

    return replace_runner


@pytest.fixture
def fixed_clock_client(settings, identities):
    now = datetime(2026, 5, 4, 23, 0, tzinfo=UTC)
    app = create_app(settings, embedder=WordEmbedder(), now=lambda: now)
    return identities.trust(app).test_client()


def without_varying_fields(value):
    if isinstance(value, dict):
        return {
            name: without_varying_fields(item)
            for name, item in value.items()
            if name not in _VARYING
        }
    if isinstance(value, list | tuple):
        return [without_varying_fields(item) for item in value]
    return value


def stream_events(client, bearer, request, **fields):
    response = client.post(
        "/query", json={"user_request": request, "stream": True, **fields}, headers=bearer
    )
    return parse_events(response)


@pytest.mark.usefixtures("no_graph")
@pytest.mark.parametrize("request_text", DIRECT_REQUESTS)
def test_request_is_answered_without_the_graph(client, ada, request_text):
    assert post_query(client, ada, request_text).json["finish_reason"] == "stop"


@pytest.mark.parametrize("request_text", DIRECT_REQUESTS)
def test_direct_answer_has_the_events_of_the_graph(
    fixed_clock_client, ada, always_graph, request_text
):
    direct = without_varying_fields(stream_events(fixed_clock_client, ada, request_text))
    always_graph()
    through_graph = without_varying_fields(stream_events(fixed_clock_client, ada, request_text))

    # The graph executes the calls of one response at the same time, and joins waiting tokens.
    def by_name(events):
        others = sorted((event for event in events if event[0] != "token"), key=lambda e: e[0])
        return others, "".join(data["text"] for name, data in events if name == "token")

    assert by_name(direct) == by_name(through_graph)
    assert "".join(data["text"] for name, data in direct if name == "token")


def test_direct_answer_is_stored_and_counted_as_by_the_graph(
    fixed_clock_client, identities, always_graph
):
    def ask_all(user_id):
        bearer = identities.bearer(user_id)
        session_id = None
        for text in ("Hello!", "What is 12 * 7?", "times 2", "Thanks"):
            answer = post_query(fixed_clock_client, bearer, text, session_id=session_id).json
            session_id = answer["session_id"]
        session = fixed_clock_client.get(f"/sessions/{session_id}", headers=bearer).json
        usage = fixed_clock_client.get("/usage", headers=bearer).json
        return without_varying_fields((session["messages"], usage["user"], usage["items"]))

    def drop_ids(result):
        messages, *usage = result
        kept = ("role", "content", "status", "finish_reason", "model", "steps", "usage")
        return [{name: message[name] for name in kept} for message in messages], usage

    direct = drop_ids(ask_all("user-direct"))
    always_graph()
    through_graph = drop_ids(ask_all("user-graph"))

    assert direct == through_graph
    assert direct[0][5]["content"] == "(12 * 7) * 2 = 168"


def test_direct_answer_counts_models_and_tools(client, ada):
    post_query(client, ada, "What is 6 * 7?")

    page = read_metrics_page(client)
    counts = dict(line.rsplit(" ", 1) for line in page.splitlines() if "_seconds_count{" in line)
    model = 'gen_ai_provider_name="embedded",gen_ai_request_model="embedded-lite"'
    labels = f'error_type="",gen_ai_operation_name="{{}}",{model}'
    chat, run = labels.format("chat"), labels.format("invoke_agent")
    assert counts[f"gen_ai_client_operation_duration_seconds_count{{{chat}}}"] == "2.0"
    assert counts[f"gen_ai_invoke_agent_duration_seconds_count{{{run}}}"] == "1.0"
    tool = 'error_type="",gen_ai_operation_name="execute_tool",gen_ai_tool_name="calculate"'
    assert counts[f"gen_ai_execute_tool_duration_seconds_count{{{tool}}}"] == "1.0"


@pytest.mark.usefixtures("no_graph")
def test_direct_tool_call_is_recorded_in_the_audit_log(client, settings, ada):
    post_query(client, ada, "What is 6 * 7?")

    database = open_database(settings.database_url, "agent")
    events = Outbox("agent", database, "audit").list_pending_events(9)
    assert [(event.subject, event.data["action"]) for event in events] == [
        ("calculate", "tool.run")
    ]


@pytest.mark.usefixtures("no_graph")
def test_direct_answer_stops_at_the_token_limit_of_the_request(client, ada):
    answer = post_query(client, ada, "What can you do?", max_tokens=3).json

    assert answer["finish_reason"] == "length"
    assert len(answer["response"].split()) == 3


@pytest.mark.usefixtures("no_graph")
def test_search_is_recorded_in_the_audit_log(client, settings, ada):
    answer = post_query(client, ada, "Who patented the typewriter in 1868?").json

    assert [step["tool"] for step in answer["steps"]] == ["search_documents"]
    database = open_database(settings.database_url, "agent")
    events = Outbox("agent", database, "audit").list_pending_events(9)
    assert [(event.subject, event.data["action"]) for event in events] == [
        ("search_documents", "tool.run")
    ]


@pytest.mark.parametrize("request_text", ["Note down: buy milk", "Read doc_4f9a1c2b3d"])
def test_request_that_needs_checks_of_the_run_uses_the_graph(
    client, ada, monkeypatch, request_text
):
    used = []
    run_agent = AgentGraph.run_agent

    async def record_run(self, *arguments):
        used.append(arguments)
        await run_agent(self, *arguments)

    monkeypatch.setattr(AgentGraph, "run_agent", record_run)

    assert post_query(client, ada, request_text).status_code == 200
    assert len(used) == 1


def test_direct_answer_observes_the_daily_quota(settings, identities, ada):
    limits = replace(settings.daily_token_limits, user=30)
    app = create_app(replace(settings, daily_token_limits=limits), embedder=WordEmbedder())
    client = identities.trust(app).test_client()

    statuses = [post_query(client, ada, "Hello!").status_code for _ in range(2)]

    assert statuses == [200, 429]
