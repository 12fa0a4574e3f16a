"""A service under the real gunicorn."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from backend.chassis.service_description import Service
from backend.chassis.settings import Env
from backend.chassis.web.serving import gunicorn_options
from backend.operations.supervisor.processes import start_time
from tests.servers import free_port, wait_until

ROOT = Path(__file__).parents[2]
BARE = Path(__file__).parent / "stand_ins" / "bare_service.py"


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def master(port: int, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with started(port, tmp_path) as process:
        yield process
        process.terminate()


def started(port: int, folder: Path, **variables: str) -> subprocess.Popen[bytes]:
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, BARE, str(port)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
            stdout=log,
            stderr=log,
        )


def ask(port: int) -> str:
    """Its answer, as soon as it gives one."""
    deadline = time.monotonic() + 15
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().read().decode()
        except OSError:
            assert time.monotonic() < deadline, "it never answered"
            time.sleep(0.05)
        finally:
            connection.close()


def test_it_is_served_by_a_worker_and_every_line_it_logs_is_json(master, port, tmp_path):
    worker, parent = map(int, ask(port).split())

    assert worker != parent == master.pid
    lines = (tmp_path / "log").read_text().splitlines()
    assert {json.loads(line)["service"] for line in lines} == {"bare-service"}


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux's")
def test_no_worker_outlives_a_master_killed_by_force(master, port):
    worker, _ = map(int, ask(port).split())

    master.send_signal(signal.SIGKILL)
    master.wait()

    wait_until(lambda: start_time(worker) is None, seconds=2)


def test_a_settings_error_ends_it_with_that_sentence_and_no_trace(port, tmp_path):
    with started(port, tmp_path, BROKEN="1") as process:
        assert process.wait(15) != 0

    said = (tmp_path / "log").read_text()
    assert "bare-service: SOME_KEY is not set. Add it to .env." in said
    assert "Traceback" not in said


def test_workers_threads_and_addresses_are_settings():
    options = gunicorn_options(
        Service("auth", 5001),
        Env({"AUTH_SERVICE_WORKERS": "3", "AUTH_SERVICE_THREADS": "5", "HOST": "::1"}),
    )

    assert (options["workers"], options["threads"], options["bind"]) == (3, 5, "[::1]:5001")
