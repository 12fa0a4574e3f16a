"""Trace context and spans of forwarded requests."""

import json
import os
from dataclasses import replace

import pytest

from backend.chassis.observability.tracing import configure_tracing
from backend.chassis.settings import CommonSettings, Env
from tests.collector import run_collector
from tests.servers import wait_until
from tests.services.gateway.data_paths import RawClient, get_received_headers

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"traceparent: 00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture
def collector(tmp_path, monkeypatch):
    """Return a function that starts the export of spans and returns their collector."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    common = CommonSettings.from_env(Env({"DATA_DIR": str(tmp_path)}), "gateway")
    with run_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        # To be called after the edge is created, because creating it stops the export.
        yield (
            lambda: (
                configure_tracing(replace(common, otlp_endpoint=collector.url), "gateway")
                or collector
            )
        )
        configure_tracing(common, "gateway")


def test_gateway_span_is_child_of_the_callers_and_parent_of_the_services(edge, bearer, collector):
    collector = collector()
    with RawClient(edge.port) as client:
        head = ("Tracestate: a=1", TRACEPARENT, bearer)
        first = get_received_headers(client.request("GET", "/rag/x", *head))
        second = get_received_headers(client.request("GET", "/rag/x", *head))
        client.request("GET", "/rag/die", TRACEPARENT, bearer)
    # Spans are exported in the order of their end, those of slow replies of Redis among them.
    wait_until(lambda: "upstream_unavailable" in list_errors(collector))

    spans = {span.span_id: span for span in collector.trace(TRACE)}
    parents = [headers["traceparent"].split("-") for headers in (first, second)]
    assert {trace for _, trace, _, _ in parents} == {TRACE}
    assert {spans[span].parent_id for _, _, span, _ in parents} == {"b7ad6b7169203331"}
    assert parents[0][2] != parents[1][2]
    assert first["tracestate"] == "a=1"
    # A slow reply of Redis is a failed span, too.
    assert list_errors(collector) - {"counted_locally"} == {"upstream_unavailable"}


def list_errors(collector):
    return {span.attributes["error.type"] for span in collector.trace(TRACE) if span.failed}


def test_access_log_has_trace_id_of_the_caller(edge, bearer):
    with RawClient(edge.port) as client:
        client.request("GET", "/rag/x", bearer, TRACEPARENT)
        client.request("GET", "/rag/x", bearer, "traceparent: 00-no-trace-01")
    lines: list[dict[str, object]] = []
    while len(lines) < 2:
        lines += map(json.loads, os.read(edge.log_reader, 65536).splitlines())

    assert [line.get("trace_id") for line in lines] == [TRACE, None]
