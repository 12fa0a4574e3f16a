"""The example for rsyslog sends every log line to a stand-in of Elasticsearch's `_bulk`."""

import json
import logging
import os
import re
import shutil
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from backend.chassis.observability.json_log_format import append_log_line
from backend.chassis.observability.logs import EcsFormatter
from backend.operations.supervisor.log_files import rotate_log
from tests.servers import process, wait_until

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deploy" / "log-shipping" / "rsyslog.conf"
INDEX = "logs-ai-agent-system-default"


class Bulk:
    """Stand-in of Elasticsearch. It stores documents by id, as `create` does.

    Attributes:
        lost_responses: number of bulk requests to process without a response.
        repeats: number of received documents whose id was already stored.
    """

    def __init__(self) -> None:
        self.documents: dict[str, dict[str, object]] = {}
        self.lost_responses = 0
        self.repeats = 0
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.reply(200, {"status": "green"})

            def do_HEAD(self) -> None:
                self.reply(200, {})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.path.startswith("/_bulk")
                items = stub.store(body)
                if stub.lost_responses:
                    stub.lost_responses -= 1
                    self.close_connection = True
                else:
                    self.reply(200, {"errors": False, "items": items})

            def reply(self, status: int, body: object) -> None:
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def store(self, body: bytes) -> list[object]:
        lines = body.decode().splitlines()
        items: list[object] = []
        for command, document in zip(lines[::2], lines[1::2], strict=True):
            target = json.loads(command)["create"]
            assert target["_index"] == INDEX
            self.repeats += target["_id"] in self.documents
            self.documents.setdefault(target["_id"], json.loads(document))
            items.append({"create": {"status": 201}})
        return items

    @property
    def messages(self) -> Counter[object]:
        return Counter(document["message"] for document in self.documents.values())


@pytest.fixture
def bulk():
    stub = Bulk()
    yield stub
    stub.server.shutdown()
    stub.server.server_close()


@pytest.fixture
def rsyslog(tmp_path, bulk):
    """Return the command that runs rsyslog with the example, its folders and its server."""
    binary = shutil.which("rsyslogd", path=f"{os.environ['PATH']}:/usr/sbin")
    modules = next(Path(binary).parents[1].glob("lib/*/rsyslog"), None) if binary else None
    if modules is None or not (modules / "omelasticsearch.so").exists():
        pytest.skip("rsyslog is missing: apt-get install rsyslog rsyslog-elasticsearch")
    text = EXAMPLE.read_text()
    for setting, value in (
        (r"/var/spool/rsyslog", str(tmp_path / "spool")),
        (r"/srv/ai-agent-system/logs", str(tmp_path / "logs")),
        (r"elasticsearch\.example\.org", "127.0.0.1"),
        (r"9200", str(bulk.server.server_port)),
        (r'usehttps="on"', 'usehttps="off"'),
        (r'action\.resumeInterval="5"', 'action.resumeInterval="1"'),
    ):
        text, count = re.subn(setting, value, text)
        assert count, setting
    for folder in ("spool", "logs"):
        (tmp_path / folder).mkdir()
    (tmp_path / "rsyslog.conf").write_text(text)
    return [
        *(binary, "-n", "-f", str(tmp_path / "rsyslog.conf")),
        *("-i", str(tmp_path / "rsyslog.pid"), "-M", str(modules)),
    ]


def write_record(log: Path, message: str, *, exc_info: object = None) -> None:
    record = logging.LogRecord("x", logging.ERROR, __file__, 1, message, (), exc_info)
    record.fields = {"request_id": "r", "path": "/é", "took_ms": 1.5}
    with log.open("a") as file:
        file.write(EcsFormatter("auth-service").format(record) + "\n")


@pytest.mark.slow
def test_every_line_arrives_once_despite_lost_responses_restart_and_rotation(
    tmp_path, bulk, rsyslog
):
    log, output = tmp_path / "logs" / "auth_service.log", tmp_path / "rsyslog.out"
    expected = Counter(f"line {number}: ü 漢" for number in range(300))
    bulk.lost_responses = 2
    with process(rsyslog, output):
        for number in range(200):
            write_record(log, f"line {number}: ü 漢")
        append_log_line(tmp_path / "logs" / "valkey.log", "valkey", "Ready", log_format="ecs")
        wait_until(lambda: len(bulk.documents) >= 201, 60)
        rotate_log(log, 10)
        for number in range(200, 250):
            write_record(log, f"line {number}: ü 漢")
        wait_until(lambda: len(bulk.documents) >= 251, 60)
    for number in range(250, 300):
        write_record(log, f"line {number}: ü 漢")
    with process(rsyslog, output):
        wait_until(lambda: len(bulk.documents) >= 301, 60)

    assert bulk.lost_responses == 0
    assert bulk.repeats > 0
    assert bulk.messages == expected | Counter(["Ready"])
    (document,) = [item for item in bulk.documents.values() if item["message"] == "line 0: ü 漢"]
    assert document["service.name"] == "auth-service"
    assert document["event.duration"] == 1_500_000
    assert document["url.path"] == "/é"


@pytest.mark.slow
def test_long_traceback_and_plain_text_arrive_as_one_document_each(tmp_path, bulk, rsyslog):
    log = tmp_path / "logs" / "auth_service.log"
    try:
        raise ValueError('"\n' * 20_000)  # noqa: TRY301 - logged with its traceback
    except ValueError:
        write_record(log, "failed", exc_info=sys.exc_info())
    with log.open("a") as file:
        file.write('Fatal Python error: "out" of memory\\\n')

    with process(rsyslog, tmp_path / "rsyslog.out"):
        wait_until(lambda: len(bulk.documents) >= 2, 60)

    assert bulk.messages == Counter(["failed", 'Fatal Python error: "out" of memory\\'])
    failed, text = sorted(bulk.documents.values(), key=lambda item: "log.file.path" in item)
    assert len(str(failed["error.stack_trace"])) > 16_000
    assert text["log.file.path"] == str(log)
    assert re.match(r"20\d\d-\d\d-\d\dT", str(text["@timestamp"]))
