"""Log lines with the names of the Elastic Common Schema."""

import csv
import json
import logging
import os
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest
from flask import Flask

from backend.chassis.observability.ecs_log_format import from_ecs, parse_log_line, to_ecs
from backend.chassis.observability.json_log_format import append_log_line
from backend.chassis.observability.logs import EcsFormatter, JsonFormatter, log_requests
from backend.chassis.settings import Env, SettingsError
from backend.services.gateway.edge.observability.access_log import AccessLog

ROOT = Path(__file__).parents[3]
TYPES = {"keyword": str, "wildcard": str, "match_only_text": str, "date": str, "long": int}
GATEWAY_ENTRY = (
    *(1_700_000_000.0625, "GET", "/rag/documents", 200, 0.0125, "192.0.2.1", "req-1", "rag", 512),
    *(',"user":"u1"', ',"upstream":"127.0.0.1:5003","trace_id":"t1","span_id":"s1"', "timeout"),
)


@pytest.fixture(scope="module")
def fields() -> dict[str, str]:
    """Return the types by name of the published fields."""
    with (ROOT / "tests" / "data" / "ecs-fields.csv").open(newline="") as file:
        return {row["Field"]: row["Type"] for row in csv.DictReader(file)}


def record(message: str = "done", *arguments: object, **values: object) -> logging.LogRecord:
    created = logging.LogRecord("x", logging.WARNING, __file__, 1, message, arguments, None)
    created.fields = values
    return created


def record_with_traceback() -> logging.LogRecord:
    try:
        raise ValueError("half\nand half")  # noqa: TRY301 - logged with its traceback
    except ValueError:
        created = record("failed")
        created.exc_info = sys.exc_info()
        return created


def format_access_log(tmp_path: Path) -> list[str]:
    log = tmp_path / "gateway.log"
    with log.open("wb") as file:
        AccessLog(file.fileno(), "ecs").write_entries([GATEWAY_ENTRY, GATEWAY_ENTRY])
    return log.read_text().splitlines()


def list_lines(tmp_path: Path) -> list[str]:
    """Return a line of every writer, with all fields that the services log."""
    formatter = EcsFormatter("auth-service")
    append_log_line(tmp_path / "a.log", "valkey", "Ready", log_format="ecs")
    records = (
        record(method="GET", path="/me", status=200, took_ms=1.25, remote="192.0.2.1"),
        record(provider="openai", model="m", took_ms=3.5, input_tokens=7, output_tokens=9),
        record(provider="openai", model="m", took_ms=3, error="TimeoutError"),
        record(action="tool.run", tool="search", user_id="u1", error="OperationalError"),
        record(tool="t", call_id="c", reason="r", user_id="u", tenant_id="t", request_id="q"),
        record(action="api_key.use", actor_id="u1", target=None, error="OperationalError"),
        record(status="odd", bytes=None, took_ms="soon", details={"a": [1]}),
        record_with_traceback(),
    )
    return [
        *map(formatter.format, records),
        *(tmp_path / "a.log").read_text().splitlines(),
        *format_access_log(tmp_path),
    ]


def test_every_field_and_its_type_is_in_the_published_list(fields, tmp_path):
    for text in list_lines(tmp_path):
        line = json.loads(text)
        for name, value in line.items():
            known = "labels" if name.startswith("labels.") else name
            assert known in fields, name
            assert isinstance(value, TYPES.get(fields[known], str)), (name, value)
        # In this order, as the schema requires of log files.
        assert list(line)[:3] == ["@timestamp", "log.level", "message"]
        assert line["service.name"]
        assert line["ecs.version"]


def test_request_line_has_the_documented_names():
    values = {"method": "GET", "path": "/me", "status": 200, "took_ms": 1.25, "user_id": "u1"}

    line = json.loads(EcsFormatter("auth-service").format(record("GET %s", "/me", **values)))

    assert line | {"@timestamp": ""} == {
        "@timestamp": "",
        "log.level": "warning",
        "message": "GET /me",
        "ecs.version": "8.11.0",
        "service.name": "auth-service",
        "log.logger": "x",
        "http.request.method": "GET",
        "url.path": "/me",
        "http.response.status_code": 200,
        "event.duration": 1_250_000,
        "user.id": "u1",
    }


def test_traceback_is_one_field_of_one_line():
    text = EcsFormatter("rag").format(record_with_traceback())

    line = json.loads(text)
    assert len(text.splitlines()) == 1
    assert line["error.type"] == "ValueError"
    assert line["error.message"] == "half\nand half"
    assert line["error.stack_trace"].startswith("Traceback (most recent call last):\n")
    assert "exception" not in line


def test_access_log_of_a_service_has_the_client_address(caplog):
    app = Flask("x")
    app.add_url_rule("/page", view_func=lambda: "text")
    log_requests(app)

    with caplog.at_level(logging.INFO):
        app.test_client().get("/page")

    (written,) = [item for item in caplog.records if item.name == "access"]
    line = json.loads(EcsFormatter("x").format(written))
    assert ip_address(line["client.address"])
    assert line["event.duration"] > 0


def test_access_log_of_the_gateway_has_the_same_names(tmp_path):
    for text in format_access_log(tmp_path):
        assert json.loads(text) == {
            "@timestamp": "2023-11-14T22:13:20.062Z",
            "log.level": "info",
            "message": "GET /rag/documents 200",
            "ecs.version": "8.11.0",
            "service.name": "gateway",
            "log.logger": "access",
            "http.request.id": "req-1",
            "http.request.method": "GET",
            "url.path": "/rag/documents",
            "http.response.status_code": 200,
            "event.duration": 12_500_000,
            "client.address": "192.0.2.1",
            "labels.route": "rag",
            "http.response.body.bytes": 512,
            "user.id": "u1",
            "labels.upstream": "127.0.0.1:5003",
            "trace.id": "t1",
            "span.id": "s1",
            "event.reason": "timeout",
        }


@pytest.mark.parametrize("formatter", [JsonFormatter, EcsFormatter])
def test_lines_of_both_formats_are_read_alike(formatter):
    line = parse_log_line(formatter("rag-service").format(record("got %s", "it", request_id="r")))

    assert (line["service"], line["message"], line["request_id"]) == ("rag-service", "got it", "r")
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize("text", ["", "plain text", "[1]", "null", '"x"', "[" * 100_000])
def test_text_that_is_no_log_line_has_no_fields(text):
    assert parse_log_line(text) == {}


def test_names_are_translated_back():
    line = {"timestamp": "t", "message": "m", "service": "s", "trace_id": "a", "exception": "e"}

    assert line.items() <= from_ecs(to_ecs(line)).items()


@pytest.mark.parametrize(
    ("value", "first_key"),
    [
        ("ECS", "@timestamp"),
        pytest.param("ecs", "@timestamp", marks=pytest.mark.slow),
        ("json", "timestamp"),
    ],
)
def test_log_format_selects_the_names(value, first_key):
    program = (
        "import logging\n"
        "from backend.chassis.observability.logs import configure_logging\n"
        "from backend.chassis.settings import Env\n"
        "import os\n"
        "env = Env(os.environ)\n"
        "configure_logging('rag', env.log_level, env.log_format)\n"
        "logging.getLogger('x').debug('hidden')\n"
        "1 / 0"
    )

    result = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"LOG_FORMAT": value, "LOG_LEVEL": "info"},
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )

    (line,) = map(json.loads, result.stderr.splitlines())
    assert next(iter(line)) == first_key
    assert line["message"] == "process ended by ZeroDivisionError"


def test_unknown_log_format_is_rejected():
    with pytest.raises(SettingsError, match="LOG_FORMAT must be one of json, ecs"):
        _ = Env({"LOG_FORMAT": "logfmt"}).log_format
