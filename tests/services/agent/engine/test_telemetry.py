"""Metrics, logs and traces of runs, model calls and tool calls."""

import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from backend.chassis.observability.logs import JsonFormatter
from backend.chassis.observability.tracing import configure_tracing
from backend.services.agent.app import create_app
from tests.collector import run_collector
from tests.metrics import read_metrics_page
from tests.servers import wait_until
from tests.services.agent.fakes import Reply, WordEmbedder, post_query

ROOT = Path(__file__).parents[4]
# Logs from the event loop, outside of the request.
_MODEL_LOGGER = "backend.services.agent.engine.telemetry"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
CALCULATE = Reply(calls=[("calculate", {"expression": "6 * 7"})])


def read_metrics(client) -> dict[str, float]:
    lines = read_metrics_page(client).splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line.startswith(("gen_ai", "agent_node")))
    return {name: float(value) for name, value in pairs}


def format_sample(name: str, **labels: str) -> str:
    label_text = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{label_text}}}"


MODEL = {"gen_ai_provider_name": "openai-compatible", "gen_ai_request_model": "scripted"}
CHAT = {"gen_ai_operation_name": "chat", **MODEL}


def test_metrics_count_models_tools_runs_and_graph_nodes(scripted_client, ada, model):
    model.queue_replies(CALCULATE, Reply(text="It is 42."))

    post_query(scripted_client, ada, "What is six times seven?")
    metrics = read_metrics(scripted_client)

    tokens = "gen_ai_client_token_usage"
    labels = CHAT | {"request_type": "query"}
    assert metrics[format_sample(f"{tokens}_sum", **labels, gen_ai_token_type="input")] == 22
    assert metrics[format_sample(f"{tokens}_sum", **labels, gen_ai_token_type="output")] == 14
    calls = "gen_ai_client_operation_duration_seconds_count"
    assert metrics[format_sample(calls, **CHAT, error_type="")] == 2
    first_chunks = "gen_ai_client_operation_time_to_first_chunk_seconds_count"
    assert metrics[format_sample(first_chunks, **CHAT)] == 2
    run_labels = {"gen_ai_operation_name": "invoke_agent", **MODEL, "error_type": ""}
    assert metrics[format_sample("gen_ai_invoke_agent_duration_seconds_count", **run_labels)] == 1
    tool_labels = {"gen_ai_operation_name": "execute_tool", "error_type": ""}
    tool = format_sample(
        "gen_ai_execute_tool_duration_seconds_count", gen_ai_tool_name="calculate", **tool_labels
    )
    assert metrics[tool] == 1
    assert (
        metrics[format_sample("agent_node_duration_seconds_count", node="model", error_type="")]
        == 2
    )
    assert (
        metrics[format_sample("agent_node_duration_seconds_count", node="tools", error_type="")]
        == 1
    )


def test_unknown_tool_names_share_one_metric_label(scripted_client, ada, model):
    unknown_calls = [Reply(calls=[(f"tool_{number}", {})]) for number in range(3)]
    model.queue_replies(*unknown_calls, Reply(text="I give up."))

    post_query(scripted_client, ada, "Use something that is not there.")
    metrics = read_metrics(scripted_client)

    tool_labels = {"gen_ai_operation_name": "execute_tool", "error_type": "tool_failed"}
    tool = format_sample(
        "gen_ai_execute_tool_duration_seconds_count", gen_ai_tool_name="(unknown)", **tool_labels
    )
    assert metrics[tool] == 3
    assert not any("tool_1" in name for name in metrics)


def test_failed_model_call_is_counted_with_its_error_type(scripted_client, ada, model):
    model.queue_replies(Reply(status=500), Reply(status=500))

    assert post_query(scripted_client, ada, "Hello?").status_code == 503
    metrics = read_metrics(scripted_client)

    run_labels = {
        "gen_ai_operation_name": "invoke_agent",
        **MODEL,
        "error_type": "model_unavailable",
    }
    assert metrics[format_sample("gen_ai_invoke_agent_duration_seconds_count", **run_labels)] == 1
    failed = [name for name in metrics if "operation_duration_seconds_count" in name]
    assert len(failed) == 1
    assert 'error_type=""' not in failed[0]


def test_completion_with_client_tools_is_counted(scripted_client, ada, model):
    model.queue_replies(Reply(calls=[("theirs", {})]))
    tool = {"type": "function", "function": {"name": "theirs", "parameters": {"type": "object"}}}
    body = {"messages": [{"role": "user", "content": "Hi"}], "tools": [tool]}

    assert scripted_client.post("/v1/chat/completions", json=body, headers=ada).status_code == 200

    calls = "gen_ai_client_operation_duration_seconds_count"
    assert read_metrics(scripted_client)[format_sample(calls, **CHAT, error_type="")] == 1


def test_rule_based_model_is_counted(client, ada):
    post_query(client, ada, "What is 2 + 2?")

    model_labels = {"gen_ai_provider_name": "embedded", "gen_ai_request_model": "embedded-lite"}
    calls = "gen_ai_client_operation_duration_seconds_count"
    labels = {"gen_ai_operation_name": "chat", **model_labels, "error_type": ""}
    assert read_metrics(client)[format_sample(calls, **labels)] == 2


@pytest.fixture
def traced(settings, identities, monkeypatch):
    """Return a function that creates an agent that sends its spans to a collector."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    with run_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)

        def make(**settings_changes):
            common = replace(settings.common, otlp_endpoint=collector.url)
            app = create_app(
                replace(settings, common=common, **settings_changes), embedder=WordEmbedder()
            )
            return identities.trust(app).test_client(), collector

        yield make
        configure_tracing(settings.common, "test")


def test_spans_of_one_request_form_one_trace_up_to_the_rag_service(traced, ada, rag_service):
    client, collector = traced()
    rag_service.add_document("The warranty of the pump lasts three years.", ada)

    answer = post_query(
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
    _, headers = rag_service.requests[0]
    assert headers["traceparent"] == f"00-{TRACE}-{call.span_id}-01"
    chat = collector.named(TRACE, "chat embedded-lite")
    assert chat.parent_id == agent.span_id
    assert chat.attributes["gen_ai.usage.output_tokens"] > 0
    attributes = " ".join(str(span.attributes) for span in collector.trace(TRACE))
    assert "warranty" not in attributes


def test_content_is_traced_only_if_enabled(traced, ada, rag_service):
    client, collector = traced(traces_content=True)
    rag_service.add_document("The warranty of the pump lasts three years.", ada)

    post_query(client, ada | TRACEPARENT, "How long does the warranty last?").close()
    wait_until(lambda: collector.named(TRACE, "invoke_agent embedded-lite"))

    tool = collector.named(TRACE, "execute_tool search_documents")
    assert "three years" in tool.attributes["gen_ai.tool.call.result"]
    attributes = " ".join(str(span.attributes) for span in collector.trace(TRACE))
    assert ada["Authorization"].removeprefix("Bearer ") not in attributes


class JsonLogCollector(logging.Handler):
    """Collects log lines, formatted in the thread and context that logs them."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, object]] = []
        self.setFormatter(JsonFormatter("agent-service"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


def test_log_lines_of_a_run_contain_request_id_and_trace_id(scripted_client, ada, model):
    collector = JsonLogCollector()
    logging.getLogger().addHandler(collector)
    model.queue_replies(Reply(text="Hello."))

    post_query(
        scripted_client, ada | TRACEPARENT | {"X-Request-ID": "request-of-ada"}, "Hello?"
    ).close()
    logging.getLogger().removeHandler(collector)

    # Threads of earlier tests may log too.
    lines = [line for line in collector.lines if line["logger"] in (_MODEL_LOGGER, "access")]
    assert {line["logger"] for line in lines} == {_MODEL_LOGGER, "access"}
    assert {line["request_id"] for line in lines} == {"request-of-ada"}
    assert {line["trace_id"] for line in lines} == {TRACE}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("switch", "is_sent"),
    [
        pytest.param({"LANGSMITH_TRACING": "true"}, True, id="langsmith variable"),
        pytest.param({"LANGCHAIN_TRACING_V2": "true"}, False, id="langchain variable"),
    ],
)
def test_langsmith_receives_content_only_if_enabled(tmp_path, switch, is_sent):
    questions = tmp_path / "questions.jsonl"
    questions.write_text('{"question": "How much is 6 times 7?", "expected": "42"}')
    with run_collector() as langsmith:
        environment = os.environ | switch | {"PYTHONPATH": str(ROOT), "DATA_DIR": str(tmp_path)}
        environment |= {"LANGSMITH_ENDPOINT": langsmith.url, "LANGSMITH_API_KEY": "ls-key"}
        environment |= {"AGENT_API_KEY": "a-key-of-the-suite"}
        command = [sys.executable, "-m", "backend.services.agent", "evaluate", str(questions)]
        subprocess.run(
            command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=60
        )

    received = b"".join(langsmith.other)
    assert (b"6 times 7" in received) is is_sent
    assert b"a-key-of-the-suite" not in received
