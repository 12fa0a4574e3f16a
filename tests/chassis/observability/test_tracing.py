"""A caller's trace is continued, and told to whoever collects spans."""

import json
import logging
import subprocess
import sys
from dataclasses import replace

import pytest

from backend.chassis.http import ServiceClient
from backend.chassis.observability.logs import JsonLines
from backend.chassis.observability.tracing import here, open_tracing, read_place, span, standing
from backend.chassis.settings import SettingsError
from backend.chassis.web.app_factory import create_service, seal
from backend.security import public
from backend.security.http_errors import working_for
from tests.collector import collecting
from tests.servers import wait_until

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


@pytest.fixture
def collector(monkeypatch):
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        yield collector


@pytest.fixture
def make(common, collector):
    """An app with one route that tells where it stands; recording is off again at the end."""

    def make(**settings: object):
        app = create_service(replace(common, **settings), {})

        @app.get("/things/<name>")
        @public
        def thing(name: str):
            if name == "broken":
                raise ZeroDivisionError
            with span("inner"):
                place = here()
            return {} if place is None else place.headers()

        return seal(app).test_client()

    yield make
    open_tracing(common, "nobody")


@pytest.mark.parametrize(
    ("text", "trace"),
    [
        pytest.param(TRACEPARENT, TRACE, id="as it should be"),
        pytest.param(f"cc-{TRACE}-{PARENT}-01-what-may-come", TRACE, id="of a later version"),
        pytest.param(f"00-{TRACE}-{PARENT}-01-more", None, id="too long for its version"),
        pytest.param(f"ff-{TRACE}-{PARENT}-01", None, id="of no version"),
        pytest.param(f"00-{'0' * 32}-{PARENT}-01", None, id="trace of zeros"),
        pytest.param(f"00-{TRACE}-{'0' * 16}-01", None, id="span of zeros"),
        pytest.param(f"00-{TRACE.upper()}-{PARENT}-01", None, id="in capitals"),
        pytest.param("00-a-b-01", None, id="too short"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_a_trace_is_continued_where_it_is_well_formed(text, trace):
    place = read_place(text)

    assert (place and place.trace_id) == trace


def test_without_a_collector_a_callers_trace_is_still_passed_on(make):
    client = make()
    told = {"traceparent": TRACEPARENT, "tracestate": "vendor=1"}

    assert client.get("/things/a", headers=told).json == told
    assert client.get("/things/a").json == {}


def test_spans_continue_the_callers_trace_and_hang_below_one_another(make, collector):
    client = make(traces_to=collector.url)

    headers = {"traceparent": TRACEPARENT}
    told = client.get("/things/a", headers=headers, buffered=True).json["traceparent"]
    client.get("/health/live", headers=headers, buffered=True)
    wait_until(lambda: len(collector.trace(TRACE)) >= 2)

    server, inner = (collector.named(TRACE, name) for name in ("GET /things/<name>", "inner"))
    assert server.parent_id == PARENT
    assert server.service == "rag-service"
    assert server.attributes["http.response.status_code"] == 200
    assert inner.parent_id == server.span_id
    assert told == f"00-{TRACE}-{inner.span_id}-01"
    assert len(collector.trace(TRACE)) == 2  # probes are none of them


def test_a_trace_that_is_not_sampled_stays_so(make, collector):
    client = make(traces_to=collector.url)

    unsampled = {"traceparent": TRACEPARENT[:-2] + "00"}
    told = client.get("/things/a", headers=unsampled, buffered=True).json
    client.get("/things/a", headers={"traceparent": TRACEPARENT}, buffered=True)
    wait_until(lambda: len(collector.trace(TRACE)) >= 2)

    assert told["traceparent"].endswith("-00")
    assert len(collector.trace(TRACE)) == 2


def test_a_call_of_another_service_is_told_where_it_stands(make, collector, common):
    make(traces_to=collector.url)
    with standing(read_place(TRACEPARENT)):
        client = ServiceClient(collector.url, read_timeout=5)
        client.post("/elsewhere", {}, {"traceparent": "00-what-the-caller-sent"})
    wait_until(lambda: collector.trace(TRACE))

    (asked,) = collector.trace(TRACE)
    assert (asked.name, asked.parent_id) == ("POST", PARENT)
    assert asked.attributes["url.full"] == f"{collector.url}/elsewhere"


def test_lines_of_the_log_carry_request_and_trace():
    record = logging.LogRecord("jobs", logging.INFO, __file__, 1, "read", (), None)

    outside = json.loads(JsonLines("rag").format(record))
    with working_for("request-1"), standing(read_place(TRACEPARENT)):
        inside = json.loads(JsonLines("rag").format(record))

    assert not {"request_id", "trace_id"} & outside.keys()
    assert (inside["request_id"], inside["trace_id"]) == ("request-1", TRACE)


def test_no_exporter_is_imported_while_no_collector_is_named():
    code = (
        "import sys, backend.chassis.web.app_factory;"
        "print([m for m in sys.modules if 'spans' in m or m.startswith('opentelemetry.exporter')])"
    )

    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert loaded.stdout.strip() == "[]"


def test_a_missing_extra_is_named_with_the_command_that_installs_it(make, monkeypatch):
    monkeypatch.delitem(sys.modules, "backend.chassis.observability.otel_spans", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)

    with pytest.raises(SettingsError, match="install --extra otel"):
        make(traces_to="http://127.0.0.1:1")
