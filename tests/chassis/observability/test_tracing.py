"""Traces of callers are continued, and spans are sent to a collector."""

import json
import logging
import subprocess
import sys
from dataclasses import replace

import pytest
from flask import Response, stream_with_context

from backend.chassis.http import ServiceClient
from backend.chassis.observability.logs import JsonFormatter
from backend.chassis.observability.tracing import (
    attach_span_context,
    build_trace_headers,
    configure_tracing,
    current_span_context,
    format_trace_ids,
    parse_traceparent,
    split_traceparent,
    start_as_current_span,
)
from backend.chassis.settings import SettingsError
from backend.chassis.web.app_factory import create_service, verify_routes
from backend.security import public
from backend.security.request_ids import request_id_scope
from tests.collector import run_collector
from tests.servers import wait_until

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


@pytest.fixture
def collector(monkeypatch):
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    with run_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        yield collector


@pytest.fixture
def make(common, collector):
    """Return a function that creates an app whose route returns its outgoing trace headers."""

    def make(**settings: object):
        app = create_service(replace(common, **settings), {})

        @app.get("/things/<name>")
        @public
        def thing(name: str):
            if name == "broken":
                raise ZeroDivisionError
            with start_as_current_span("inner"):
                return build_trace_headers(current_span_context())

        @app.get("/stream")
        @public
        def stream():
            def chunks():
                yield json.dumps(build_trace_headers(current_span_context()))
                with attach_span_context(None):
                    headers = build_trace_headers(current_span_context())
                yield json.dumps(headers)

            return Response(stream_with_context(chunks()))

        return verify_routes(app).test_client()

    yield make
    configure_tracing(common, "unused")


@pytest.mark.parametrize(
    ("text", "trace_id"),
    [
        pytest.param(TRACEPARENT, TRACE, id="valid"),
        pytest.param(f"cc-{TRACE}-{PARENT}-01-what-may-come", TRACE, id="later version"),
        pytest.param(f"00-{TRACE}-{PARENT}-01-more", None, id="extra field in version 00"),
        pytest.param(f"ff-{TRACE}-{PARENT}-01", None, id="forbidden version"),
        pytest.param(f"00-{'0' * 32}-{PARENT}-01", None, id="zero trace id"),
        pytest.param(f"00-{TRACE}-{'0' * 16}-01", None, id="zero span id"),
        pytest.param(f"00-{TRACE.upper()}-{PARENT}-01", None, id="upper case"),
        pytest.param("00-a-b-01", None, id="too short"),
        pytest.param(f"cc-{TRACE}-{PARENT}-01-{'x' * 512}", None, id="too long"),
        pytest.param("", None, id="empty"),
    ],
)
def test_traceparent_is_parsed_only_when_it_is_valid(text, trace_id, caplog):
    context = parse_traceparent(text)

    assert (context and format_trace_ids(context)[0]) == trace_id
    assert caplog.messages == []


@pytest.mark.parametrize(
    "text",
    [
        TRACEPARENT,
        f"cc-{TRACE}-{PARENT}-01-what-may-come",
        f"00-{TRACE}-{PARENT}-01-more",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        "00-a-b-01",
        "",
    ],
)
def test_split_traceparent_agrees_with_parse_traceparent(text):
    context = parse_traceparent(text)

    assert split_traceparent(text) == (context and format_trace_ids(context))


def test_trace_headers_are_passed_on_without_a_collector(make):
    client = make()
    headers = {"traceparent": TRACEPARENT, "tracestate": "vendor=1"}

    assert client.get("/things/a", headers=headers).json == headers
    assert client.get("/things/a").json == {}


def test_trace_is_current_while_a_response_is_streamed(make, caplog):
    response = make().get("/stream", headers={"traceparent": TRACEPARENT})

    assert response.text == f"{json.dumps({'traceparent': TRACEPARENT})}{{}}"
    assert current_span_context() is None
    assert "detach" not in caplog.text


def test_long_tracestate_is_dropped(make, caplog):
    headers = {"traceparent": TRACEPARENT, "tracestate": f"vendor={'x' * 512}"}

    assert make().get("/things/a", headers=headers).json == {"traceparent": TRACEPARENT}


def test_request_span_is_detached_at_the_end_of_a_request(make, caplog):
    client = make()

    client.get("/things/a", headers={"traceparent": TRACEPARENT})

    assert current_span_context() is None
    assert "detach" not in caplog.text


def test_spans_are_children_of_the_callers_span(make, collector):
    client = make(otlp_endpoint=collector.url)

    headers = {"traceparent": TRACEPARENT}
    traceparent = client.get("/things/a", headers=headers, buffered=True).json["traceparent"]
    client.get("/health/live", headers=headers, buffered=True)
    wait_until(lambda: len(collector.trace(TRACE)) >= 2)

    server, inner = (collector.named(TRACE, name) for name in ("GET /things/<name>", "inner"))
    assert server.parent_id == PARENT
    assert server.service == "rag-service"
    assert server.attributes["http.response.status_code"] == 200
    assert inner.parent_id == server.span_id
    assert traceparent == f"00-{TRACE}-{inner.span_id}-01"
    assert len(collector.trace(TRACE)) == 2  # no span for the health route


def test_unsampled_trace_is_not_exported(make, collector):
    client = make(otlp_endpoint=collector.url)

    unsampled = {"traceparent": TRACEPARENT[:-2] + "00"}
    headers = client.get("/things/a", headers=unsampled, buffered=True).json
    client.get("/things/a", headers={"traceparent": TRACEPARENT}, buffered=True)
    wait_until(lambda: len(collector.trace(TRACE)) >= 2)

    assert headers["traceparent"].endswith("-00")
    assert len(collector.trace(TRACE)) == 2


def test_call_to_another_service_is_a_client_span(make, collector, common):
    make(otlp_endpoint=collector.url)
    with attach_span_context(parse_traceparent(TRACEPARENT)):
        client = ServiceClient(collector.url, read_timeout_seconds=5)
        client.post("/elsewhere", {}, {"traceparent": "00-what-the-caller-sent"})
    wait_until(lambda: collector.trace(TRACE))

    (span,) = collector.trace(TRACE)
    assert (span.name, span.parent_id) == ("POST", PARENT)
    assert span.attributes["url.full"] == f"{collector.url}/elsewhere"


def test_log_lines_contain_request_id_and_trace_id():
    record = logging.LogRecord("jobs", logging.INFO, __file__, 1, "read", (), None)

    outside = json.loads(JsonFormatter("rag").format(record))
    with request_id_scope("request-1"), attach_span_context(parse_traceparent(TRACEPARENT)):
        inside = json.loads(JsonFormatter("rag").format(record))

    assert not {"request_id", "trace_id"} & outside.keys()
    assert (inside["request_id"], inside["trace_id"]) == ("request-1", TRACE)
    assert inside["span_id"] == PARENT


def test_opentelemetry_sdk_is_not_imported_without_a_collector():
    code = (
        "import sys, backend.chassis.web.app_factory;"
        "print([m for m in sys.modules if 'spans' in m or m.startswith("
        "('opentelemetry.exporter', 'opentelemetry.sdk.trace'))])"
    )

    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert result.stdout.strip() == "[]"


def test_missing_otel_extra_is_reported_with_the_install_command(make, monkeypatch):
    monkeypatch.delitem(sys.modules, "backend.chassis.observability.otel_spans", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)

    with pytest.raises(SettingsError, match="install --extra otel"):
        make(otlp_endpoint="http://127.0.0.1:1")
