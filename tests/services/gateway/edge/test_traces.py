"""A request's trace on its way through the gateway."""

import json
import os
from dataclasses import replace

import pytest

from backend.chassis.observability.tracing import open_tracing
from backend.chassis.settings import CommonSettings, Env
from tests.collector import collecting
from tests.servers import wait_until
from tests.services.gateway.carriers import Caller, received

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"traceparent: 00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture
def collector(tmp_path, monkeypatch):
    """Who hears of the gateway's spans."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    common = CommonSettings.from_env(Env({"DATA_DIR": str(tmp_path)}), "gateway")
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        # After the edge was built, which closes its own.
        yield lambda: open_tracing(replace(common, traces_to=collector.url), "gateway") or collector
        open_tracing(common, "gateway")


def test_a_service_stands_below_the_gateway_and_the_gateway_below_its_caller(
    edge, bearer, collector
):
    collector = collector()
    with Caller(edge.port) as caller:
        head = ("Tracestate: a=1", TRACEPARENT, bearer)
        first = received(caller.ask("GET", "/rag/x", *head))
        second = received(caller.ask("GET", "/rag/x", *head))
        caller.ask("GET", "/rag/die", TRACEPARENT, bearer)
    wait_until(lambda: len(collector.trace(TRACE)) >= 3)

    carried = {span.span_id: span for span in collector.trace(TRACE)}
    told = [headers["traceparent"].split("-") for headers in (first, second)]
    assert {trace for _, trace, _, _ in told} == {TRACE}
    assert {carried[span].parent_id for _, _, span, _ in told} == {"b7ad6b7169203331"}
    assert told[0][2] != told[1][2]
    assert first["tracestate"] == "a=1"
    # A server of limits that is slow to answer is a failed span too.
    failed = {span.attributes["error.type"] for span in carried.values() if span.failed}
    assert failed - {"counted_locally"} == {"upstream_unavailable"}


def test_a_line_of_the_log_names_the_callers_trace(edge, bearer):
    with Caller(edge.port) as caller:
        caller.ask("GET", "/rag/x", bearer, TRACEPARENT)
        caller.ask("GET", "/rag/x", bearer, "traceparent: 00-no-trace-01")
    lines: list[dict[str, object]] = []
    while len(lines) < 2:
        lines += map(json.loads, os.read(edge.log_end, 65536).splitlines())

    assert [line.get("trace_id") for line in lines] == [TRACE, None]
