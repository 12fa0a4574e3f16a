"""What is asked of databases and Redis is told to whoever collects spans, without its values."""

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
from backend.chassis.observability.tracing import open_tracing, read_place, span, standing
from tests.collector import collecting
from tests.servers import wait_until

ROOT = Path(__file__).parents[2]
TRACE = "0af7651916cd43dd8448eb211c80319c"
PLACE = read_place(f"00-{TRACE}-b7ad6b7169203331-01")


@pytest.fixture
def collector(monkeypatch, common):
    """A collector that this process tells of its spans."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        open_tracing(replace(common, traces_to=collector.url), "rag-service")
        yield collector
        open_tracing(common, "nobody")


def test_a_statement_is_told_by_what_it_does_and_never_by_its_values(collector, each_database_url):
    database = open_database(each_database_url, "rag")
    with database.as_owner() as connection:
        connection.execute(text("CREATE TABLE people (name TEXT, age INTEGER)"))
    row = {"name": "a secret", "age": 41}

    with database.as_owner() as connection, standing(PLACE):
        connection.execute(text("INSERT INTO people VALUES (:name, :age)"), [row, row])
        connection.execute(
            text("SELECT * FROM people p JOIN people q ON p.age = q.age WHERE p.name = 'so secret' "
                 "AND p.age IN (:a, :b) LIMIT 77"),
            {"a": 1, "b": 2},
        )  # fmt: skip
    wait_until(lambda: collector.named(TRACE, "SELECT people"))

    inserted, found = (collector.named(TRACE, f"{word} people") for word in ("INSERT", "SELECT"))
    assert inserted.parent_id == "b7ad6b7169203331"
    assert (
        inserted.attributes["db.system.name"]
        == each_database_url.partition(":")[0].partition("+")[0]
    )
    assert inserted.attributes["db.operation.name"] == "INSERT"
    assert inserted.attributes["db.operation.batch.size"] == 2
    assert found.attributes["db.query.summary"] == "SELECT people"
    told = str([each.attributes for each in collector.trace(TRACE)])
    assert "secret" not in told
    assert "77" not in found.attributes["db.query.text"]


def test_a_statement_that_fails_is_told_as_failed(collector, database_url):
    database = open_database(database_url, "rag")

    with standing(PLACE), pytest.raises(DBAPIError), database.read() as session:
        session.execute(text("SELECT * FROM nowhere"))
    wait_until(lambda: collector.named(TRACE, "SELECT nowhere"))

    failed = collector.named(TRACE, "SELECT nowhere")
    assert (failed.failed, failed.attributes["error.type"]) == (True, "OperationalError")


def test_what_nobody_asked_for_is_no_trace(collector, database_url, valkey):
    with open_database(database_url, "rag").read() as session:
        session.execute(text("SELECT 1"))
    valkey.client.ping()
    with standing(PLACE), span("the last"):
        pass
    wait_until(lambda: collector.spans)

    assert [each.name for each in collector.spans] == ["the last"]


def test_a_command_is_told_by_its_name_alone(collector, valkey):
    with standing(PLACE):
        valkey.client.set("key-of-ada", "secret")
        with valkey.client.pipeline() as pipeline:
            pipeline.get("key-of-ada").incr("number").execute()
    wait_until(lambda: len(collector.trace(TRACE)) >= 2)

    one, several = (collector.named(TRACE, name) for name in ("SET", "PIPELINE"))
    assert one.attributes["db.system.name"] == "redis"
    assert several.attributes["db.operation.batch.size"] == 2
    assert several.attributes["db.query.text"] == "GET INCRBY"
    told = str([each.attributes for each in collector.trace(TRACE)])
    assert "ada" not in told
    assert "secret" not in told


def test_a_forked_child_tells_of_its_own_spans(collector):
    with standing(PLACE), span("before the fork"):
        pass
    child = os.fork()
    if child == 0:
        with standing(PLACE), span("in the child"):
            pass
        tracing._recorder.close()
        os._exit(0)
    os.waitpid(child, 0)
    with standing(PLACE), span("in the parent"):
        pass
    wait_until(lambda: len(collector.trace(TRACE)) >= 3)

    names = sorted(each.name for each in collector.trace(TRACE))
    assert names == ["before the fork", "in the child", "in the parent"]


def test_a_collector_that_takes_nothing_is_named_once(collector, caplog):
    caplog.set_level(logging.INFO)

    def told() -> list[str]:
        return [each.getMessage() for each in caplog.records if each.name.startswith("backend")]

    collector.answer = 400
    for count in (1, 2, 3):
        with span("lost"):
            pass
        wait_until(lambda count=count: collector.refused >= count)
    wait_until(told)
    collector.answer = 200
    with span("seen"):
        pass
    wait_until(lambda: len(told()) > 1)

    assert told() == [
        "The collector takes no spans; they are lost until it does.",
        "The collector takes spans again.",
    ]


@pytest.mark.parametrize("collector", ["away", "silent"])
def test_a_process_ends_within_a_second_whatever_its_collector_does(collector, tmp_path):
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
            "from backend.chassis.observability.tracing import open_tracing, span\n"
            "open_tracing(CommonSettings.from_env(load_env(), 'rag'), 'rag-service')\n"
            "with span('lost'): pass\n"
            "print(time.monotonic())"
        )
        told = subprocess.run(
            [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True,
            text=True, timeout=60, check=True,
        )  # fmt: skip
        took = time.monotonic() - float(told.stdout)

    assert took < 5  # the exporter by itself waits for ten seconds, and its provider for thirty
