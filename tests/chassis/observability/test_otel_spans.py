"""Spans of SQL statements and Redis commands, without values, and their export."""

import logging
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from backend.chassis.database.sessions import open_database
from backend.chassis.observability import tracing
from backend.chassis.observability.tracing import (
    attach_span_context,
    configure_tracing,
    parse_traceparent,
    start_as_current_span,
)
from backend.security.redis import redis_key
from tests.collector import run_collector
from tests.servers import wait_until

ROOT = Path(__file__).parents[3]
TRACE = "0af7651916cd43dd8448eb211c80319c"
CONTEXT = parse_traceparent(f"00-{TRACE}-b7ad6b7169203331-01")


@pytest.fixture
def collector(monkeypatch, common):
    """A collector that receives the spans of this process."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    with run_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        configure_tracing(replace(common, otlp_endpoint=collector.url), "rag-service")
        yield collector
        configure_tracing(common, "unused")


def test_sql_span_contains_no_values(collector, each_database_url):
    database = open_database(each_database_url, "rag")
    with database.as_owner() as connection:
        connection.execute(text("CREATE TABLE people (name TEXT, age INTEGER)"))
    row = {"name": "a secret", "age": 41}

    with database.as_owner() as connection, attach_span_context(CONTEXT):
        connection.execute(text("INSERT INTO people VALUES (:name, :age)"), [row, row])
        connection.execute(
            text("SELECT * FROM people p JOIN people q ON p.age = q.age WHERE p.name = 'so secret' "
                 "AND p.age IN (:a, :b) LIMIT 77"),
            {"a": 1, "b": 2},
        )  # fmt: skip
    wait_until(lambda: collector.named(TRACE, "SELECT people"))

    insert, select = (collector.named(TRACE, f"{word} people") for word in ("INSERT", "SELECT"))
    assert insert.parent_id == "b7ad6b7169203331"
    assert (
        insert.attributes["db.system.name"] == each_database_url.partition(":")[0].partition("+")[0]
    )
    assert insert.attributes["db.operation.name"] == "INSERT"
    assert insert.attributes["db.operation.batch.size"] == 2
    assert select.attributes["db.query.summary"] == "SELECT people"
    attributes = str([span.attributes for span in collector.trace(TRACE)])
    assert "secret" not in attributes
    assert "77" not in select.attributes["db.query.text"]


def test_failed_statement_has_a_failed_span(collector, database_url):
    database = open_database(database_url, "rag")

    with (
        attach_span_context(CONTEXT),
        pytest.raises(DBAPIError) as raised,
        database.as_owner() as connection,
    ):
        connection.execute(text("SELECT * FROM nowhere"))
    wait_until(lambda: collector.named(TRACE, "SELECT nowhere"))

    failed = collector.named(TRACE, "SELECT nowhere")
    assert failed.failed
    assert failed.attributes["error.type"] == type(raised.value).__name__


def test_statements_and_commands_outside_a_trace_have_no_spans(collector, database_url, valkey):
    with open_database(database_url, "rag").as_owner() as connection:
        connection.execute(text("SELECT 1"))
    valkey.client.ping()
    with attach_span_context(CONTEXT), start_as_current_span("last"):
        pass
    wait_until(lambda: collector.spans)

    assert [span.name for span in collector.spans] == ["last"]


def test_redis_span_contains_no_arguments(collector, valkey):
    key = redis_key("key-of-ada")
    with attach_span_context(CONTEXT):
        valkey.client.set(key, "secret")
        with valkey.client.pipeline() as pipeline:
            pipeline.get(key).incr(redis_key("number")).execute()
    wait_until(lambda: len(collector.trace(TRACE)) >= 2)

    command, batch = (collector.named(TRACE, name) for name in ("SET", "PIPELINE"))
    assert command.attributes["db.system.name"] == "redis"
    assert batch.attributes["db.operation.batch.size"] == 2
    assert batch.attributes["db.query.text"] == "GET INCRBY"
    attributes = str([span.attributes for span in collector.trace(TRACE)])
    assert "ada" not in attributes
    assert "secret" not in attributes


def test_forked_child_exports_its_own_spans(collector):
    with attach_span_context(CONTEXT), start_as_current_span("before the fork"):
        pass
    child = os.fork()
    if child == 0:
        with attach_span_context(CONTEXT), start_as_current_span("in the child"):
            pass
        tracing._recorder.close()
        os._exit(0)
    os.waitpid(child, 0)
    with attach_span_context(CONTEXT), start_as_current_span("in the parent"):
        pass
    wait_until(lambda: len(collector.trace(TRACE)) >= 3)

    names = sorted(span.name for span in collector.trace(TRACE))
    assert names == ["before the fork", "in the child", "in the parent"]


def test_rejected_export_is_logged_once(collector, caplog):
    # Background threads of apps of other tests may log as well.
    logger = "backend.chassis.observability.otel_spans"
    caplog.set_level(logging.INFO)

    def list_messages() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == logger]

    collector.status = 400
    for count in (1, 2, 3):
        with start_as_current_span("lost"):
            pass
        wait_until(lambda count=count: collector.rejected >= count)
    wait_until(list_messages)
    collector.status = 200
    with start_as_current_span("accepted"):
        pass
    wait_until(lambda: len(list_messages()) > 1)

    assert list_messages() == [
        "The trace collector rejects spans or does not respond. Spans are lost.",
        "The trace collector accepts spans again.",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("collector", ["closed", "silent"])
def test_process_exits_quickly_when_the_collector_does_not_respond(collector, tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if collector == "silent":
            silent.listen()
        environment = {
            **os.environ,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "DATA_DIR": str(tmp_path),
        }
        code = (
            "import time; from backend.chassis.settings import CommonSettings, load_env\n"
            "from backend.chassis.observability import tracing\n"
            "tracing.configure_tracing(CommonSettings.from_env(load_env(), 'rag'), 'rag-service')\n"
            "with tracing.start_as_current_span('lost'): pass\n"
            "print(time.monotonic())"
        )
        result = subprocess.run(
            [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True,
            text=True, timeout=60, check=True,
        )  # fmt: skip
        duration_seconds = time.monotonic() - float(result.stdout)

    # By default, the exporter waits for 10 seconds and its provider for 30.
    assert duration_seconds < 9
