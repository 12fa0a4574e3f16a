"""What models, tools and runs cost is counted and traced, at one place for all of them."""

import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from backend.chassis.observability.logs import JsonLines
from backend.chassis.observability.tracing import open_tracing
from backend.services.agent.app import create_app
from tests.collector import collecting
from tests.servers import wait_until
from tests.services.agent.stand_ins import Reply, WordEmbedder, ask

ROOT = Path(__file__).parents[4]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
CALCULATE = Reply(calls=[("calculate", {"expression": "6 * 7"})])


def numbers(client) -> dict[str, float]:
    lines = client.get("/metrics").text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line.startswith(("gen_ai", "agent_node")))
    return {name: float(value) for name, value in pairs}


def labelled(name: str, **labels: str) -> str:
    written = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{written}}}"


MODEL = {"gen_ai_provider_name": "openai-compatible", "gen_ai_request_model": "scripted"}
CHAT = {"gen_ai_operation_name": "chat", **MODEL}


def test_models_tools_runs_and_nodes_are_counted(scripted, ada, model):
    model.will(CALCULATE, Reply(text="It is 42."))

    ask(scripted, ada, "What is six times seven?")
    told = numbers(scripted)

    tokens = "gen_ai_client_token_usage"
    assert told[labelled(f"{tokens}_sum", **CHAT, gen_ai_token_type="input")] == 22
    assert told[labelled(f"{tokens}_sum", **CHAT, gen_ai_token_type="output")] == 14
    asked = "gen_ai_client_operation_duration_seconds_count"
    assert told[labelled(asked, **CHAT, error_type="")] == 2
    first = "gen_ai_client_operation_time_to_first_chunk_seconds_count"
    assert told[labelled(first, **CHAT)] == 2
    ran = {"gen_ai_operation_name": "invoke_agent", **MODEL, "error_type": ""}
    assert told[labelled("gen_ai_invoke_agent_duration_seconds_count", **ran)] == 1
    used = {"gen_ai_operation_name": "execute_tool", "error_type": ""}
    tool = labelled(
        "gen_ai_execute_tool_duration_seconds_count", gen_ai_tool_name="calculate", **used
    )
    assert told[tool] == 1
    assert told[labelled("agent_node_duration_seconds_count", node="model", error_type="")] == 2
    assert told[labelled("agent_node_duration_seconds_count", node="tools", error_type="")] == 1


def test_what_a_model_makes_up_is_no_label(scripted, ada, model):
    invented = [Reply(calls=[(f"tool_{number}", {})]) for number in range(3)]
    model.will(*invented, Reply(text="I give up."))

    ask(scripted, ada, "Use something that is not there.")
    told = numbers(scripted)

    used = {"gen_ai_operation_name": "execute_tool", "error_type": "tool_failed"}
    tool = labelled(
        "gen_ai_execute_tool_duration_seconds_count", gen_ai_tool_name="(unknown)", **used
    )
    assert told[tool] == 3
    assert not any("tool_1" in name for name in told)


def test_a_failing_model_is_counted_by_its_failure(scripted, ada, model):
    model.will(Reply(status=500), Reply(status=500))

    assert ask(scripted, ada, "Hello?").status_code == 503
    told = numbers(scripted)

    ran = {"gen_ai_operation_name": "invoke_agent", **MODEL, "error_type": "model_unavailable"}
    assert told[labelled("gen_ai_invoke_agent_duration_seconds_count", **ran)] == 1
    failed = [name for name in told if "operation_duration_seconds_count" in name]
    assert len(failed) == 1
    assert 'error_type=""' not in failed[0]


def test_a_chat_with_the_clients_own_tools_is_counted_too(scripted, ada, model):
    model.will(Reply(calls=[("theirs", {})]))
    tool = {"type": "function", "function": {"name": "theirs", "parameters": {"type": "object"}}}
    body = {"messages": [{"role": "user", "content": "Hi"}], "tools": [tool]}

    assert scripted.post("/v1/chat/completions", json=body, headers=ada).status_code == 200

    asked = "gen_ai_client_operation_duration_seconds_count"
    assert numbers(scripted)[labelled(asked, **CHAT, error_type="")] == 1


def test_the_embedded_model_is_counted_like_any_other(client, ada):
    ask(client, ada, "What is 2 + 2?")

    lite = {"gen_ai_provider_name": "embedded", "gen_ai_request_model": "embedded-lite"}
    asked = "gen_ai_client_operation_duration_seconds_count"
    labels = {"gen_ai_operation_name": "chat", **lite, "error_type": ""}
    assert numbers(client)[labelled(asked, **labels)] == 2


@pytest.fixture
def traced(settings, identities, monkeypatch):
    """Make an agent that sends its spans to a collector."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)

        def make(**more):
            common = replace(settings.common, traces_to=collector.url)
            app = create_app(replace(settings, common=common, **more), embedder=WordEmbedder())
            return identities.trust(app).test_client(), collector

        yield make
        open_tracing(settings.common, "nobody")


def test_one_request_is_one_trace_down_to_the_library(traced, ada, shelf):
    client, collector = traced()
    shelf.hold("The warranty of the pump lasts three years.", ada)

    answer = ask(
        client,
        ada | TRACEPARENT,
        "How long does the warranty last?",
    )
    answer.close()
    names = ("POST /query", "invoke_agent embedded-lite", "execute_tool search_documents", "POST")
    wait_until(lambda: all(collector.named(TRACE, name) for name in names))

    request, agent, tool, call = (collector.named(TRACE, name) for name in names)
    assert request.parent_id == "00f067aa0ba902b7"
    assert (agent.parent_id, tool.parent_id, call.parent_id) == (
        request.span_id,
        agent.span_id,
        tool.span_id,
    )
    _, headers = shelf.requests[0]
    assert headers["traceparent"] == f"00-{TRACE}-{call.span_id}-01"
    chat = collector.named(TRACE, "chat embedded-lite")
    assert chat.parent_id == agent.span_id
    assert chat.attributes["gen_ai.usage.output_tokens"] > 0
    said = " ".join(str(span.attributes) for span in collector.trace(TRACE))
    assert "warranty" not in said


def test_what_is_said_is_traced_only_when_asked_for(traced, ada, shelf):
    client, collector = traced(traced_content=True)
    shelf.hold("The warranty of the pump lasts three years.", ada)

    ask(client, ada | TRACEPARENT, "How long does the warranty last?").close()
    wait_until(lambda: collector.named(TRACE, "invoke_agent embedded-lite"))

    tool = collector.named(TRACE, "execute_tool search_documents")
    assert "three years" in tool.attributes["gen_ai.tool.call.result"]
    said = " ".join(str(span.attributes) for span in collector.trace(TRACE))
    assert ada["Authorization"].removeprefix("Bearer ") not in said


class Lines(logging.Handler):
    """What is logged, as it would be written where it is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, object]] = []
        self.setFormatter(JsonLines("agent-service"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


def test_a_line_logged_in_a_run_carries_the_requests_ids(scripted, ada, model):
    written = Lines()
    logging.getLogger().addHandler(written)
    model.will(Reply(text="Hello."))

    ask(scripted, ada | TRACEPARENT | {"X-Request-ID": "asked-by-ada"}, "Hello?").close()
    logging.getLogger().removeHandler(written)

    # What other tests have left running logs too.
    about = [line for line in written.lines if line["logger"] in ("httpx2", "access")]
    assert {line["logger"] for line in about} == {"httpx2", "access"}
    assert {line["request_id"] for line in about} == {"asked-by-ada"}
    assert {line["trace_id"] for line in about} == {TRACE}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("switch", "is_sent"),
    [
        pytest.param({"LANGSMITH_TRACING": "true"}, True, id="asked for"),
        pytest.param({"LANGCHAIN_TRACING_V2": "true"}, False, id="switched on for other work"),
    ],
)
def test_langsmith_hears_what_is_said_only_when_asked_to(tmp_path, switch, is_sent):
    questions = tmp_path / "questions.jsonl"
    questions.write_text('{"question": "How much is 6 times 7?", "expected": "42"}')
    with collecting() as langsmith:
        environment = os.environ | switch | {"PYTHONPATH": str(ROOT), "DATA_DIR": str(tmp_path)}
        environment |= {"LANGSMITH_ENDPOINT": langsmith.url, "LANGSMITH_API_KEY": "ls-key"}
        environment |= {"AGENT_API_KEY": "a-key-of-the-suite"}
        command = [sys.executable, "-m", "backend.services.agent", "evaluate", str(questions)]
        subprocess.run(
            command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=60
        )

    heard = b"".join(langsmith.other)
    assert (b"6 times 7" in heard) is is_sent
    assert b"a-key-of-the-suite" not in heard
