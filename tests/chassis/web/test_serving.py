"""A service under gunicorn."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from http.client import HTTPConnection
from pathlib import Path

import pytest

from backend.chassis.service_description import Service
from backend.chassis.settings import Env
from backend.chassis.web.serving import build_gunicorn_options
from backend.operations.supervisor.processes.spawn import get_start_time
from tests.servers import free_port, wait_until

ROOT = Path(__file__).parents[3]
BARE = Path(__file__).parents[1] / "stand_ins" / "bare_service.py"


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def service(port: int, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with start_service(port, tmp_path) as process:
        yield process
        process.terminate()


def start_service(port: int, folder: Path, **variables: str) -> subprocess.Popen[bytes]:
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, BARE, str(port)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
            stdout=log,
            stderr=log,
        )


def request_path(port: int, path: str) -> tuple[int, Message, str]:
    """Return status, headers and body of the response."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()
    finally:
        connection.close()


def request_health(port: int) -> str:
    """Return the body of `/health`, as soon as the service responds."""
    deadline = time.monotonic() + 15
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().read().decode()
        except OSError:
            assert time.monotonic() < deadline, "the service does not respond"
            time.sleep(0.05)
        finally:
            connection.close()


def read_log_lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "log").read_text().splitlines()]


def test_service_with_one_worker_is_a_single_process_that_logs_json(service, port, tmp_path):
    pid, _ = map(int, request_health(port).split())

    assert pid == service.pid
    assert {line["service"] for line in read_log_lines(tmp_path)} == {"bare-service"}


def test_long_lines_and_headers_are_accepted_as_by_the_gateway(service, port):
    request_health(port)
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", f"/health?q={'x' * 8000}", headers={"Cookie": "x" * 30_000})
    response = connection.getresponse()
    response.read()
    connection.close()

    assert response.status == 200


def test_one_connection_serves_requests_with_and_without_pauses(service, port):
    request_health(port)
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    connection.connect()
    first = connection.sock
    for pause in (0.0, 0.0, 0.02, 0.2, 0.0):
        time.sleep(pause)
        connection.request("GET", "/health")
        response = connection.getresponse()
        assert (response.status, bool(response.read())) == (200, True)
    assert connection.sock is first
    connection.close()


def test_idle_connections_do_not_take_the_threads_of_others(service, port):
    request_health(port)
    connections = [HTTPConnection("127.0.0.1", port, timeout=20) for _ in range(100)]
    for connection in connections:
        connection.request("GET", "/health")
    pids = {connection.getresponse().read() for connection in connections}
    assert pids == {request_health(port).encode()}
    for connection in connections:
        connection.close()


@pytest.mark.slow
def test_several_workers_run_below_a_master(port, tmp_path):
    with start_service(port, tmp_path, BARE_SERVICE_WORKERS="2") as process:
        worker, parent = map(int, request_health(port).split())
        process.terminate()

    assert worker != parent == process.pid
    assert process.returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is specific to Linux")
def test_worker_ends_when_the_master_is_killed(port, tmp_path):
    with start_service(port, tmp_path, BARE_SERVICE_WORKERS="2") as master:
        worker, _ = map(int, request_health(port).split())

        master.send_signal(signal.SIGKILL)

    wait_until(lambda: get_start_time(worker) is None, seconds=2)


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)]
)
def test_single_process_finishes_its_requests_after_a_signal(port, tmp_path, number):
    with start_service(port, tmp_path) as process:
        request_health(port)
        with ThreadPoolExecutor(1) as clients:
            answer = clients.submit(request_path, port, "/slow")
            wait_until(lambda: request_path(port, "/running")[2] == "1")
            process.send_signal(number)
            assert answer.result()[0] == 200

    assert process.returncode == 0
    assert str(read_log_lines(tmp_path)[-1]["message"]).startswith("Stopped")


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGQUIT, marks=pytest.mark.slow)]
)
def test_single_process_ends_at_the_graceful_timeout(port, tmp_path, number):
    with start_service(port, tmp_path, SERVICE_DRAIN_SECONDS="1") as process:
        request_health(port)
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET /endless HTTP/1.1\r\nHost: bare\r\n\r\n")
            wait_until(lambda: request_path(port, "/running")[2] == "1")
            process.send_signal(number)
            assert process.wait(60) == -signal.SIGALRM

    assert "in endless" in (tmp_path / "log").read_text()


def test_single_process_ends_when_its_main_loop_hangs(port, tmp_path):
    with start_service(port, tmp_path, HANG_SECONDS="1") as process:
        assert process.wait(20) == -signal.SIGALRM

    assert "in run" in (tmp_path / "log").read_text()


def test_single_process_ends_with_code_3_if_the_app_cannot_be_created(port, tmp_path):
    with start_service(port, tmp_path, BROKEN="bug") as process:
        assert process.wait(15) == 3

    assert "ZeroDivisionError" in str(read_log_lines(tmp_path)[-2]["exception"])


def test_second_process_on_the_same_port_reports_that_it_is_in_use(service, port, tmp_path):
    request_health(port)
    (tmp_path / "second").mkdir()
    with start_service(port, tmp_path / "second") as process:
        assert process.wait(15) != 0

    assert "Connection in use" in (tmp_path / "second" / "log").read_text()


def test_settings_error_is_printed_without_traceback(port, tmp_path):
    with start_service(port, tmp_path, BROKEN="1") as process:
        assert process.wait(15) != 0

    output = (tmp_path / "log").read_text()
    assert "bare-service: SOME_KEY is not set. Add it to .env." in output
    assert "Traceback" not in output


def test_gunicorn_options_follow_the_settings():
    options = build_gunicorn_options(
        Service("auth", 5001),
        Env({"AUTH_SERVICE_WORKERS": "3", "AUTH_SERVICE_THREADS": "5", "HOST": "::1"}),
    )

    assert (options["workers"], options["bind"]) == (3, "[::1]:5001")


def test_requests_beyond_four_per_thread_get_503_and_probes_are_answered(port, tmp_path):
    with start_service(port, tmp_path, BARE_SERVICE_THREADS="1") as process:
        request_health(port)
        with ThreadPoolExecutor(8) as clients:
            answers = [clients.submit(request_path, port, "/slow") for _ in range(8)]
            assert request_path(port, "/health")[0] == 200
            assert not all(answer.done() for answer in answers)
        outcomes = [answer.result() for answer in answers]
        assert request_path(port, "/fast")[0] == 200
        process.terminate()

    assert sorted(status for status, _, _ in outcomes) == [200] * 4 + [503] * 4
    headers, body = next((headers, body) for status, headers, body in outcomes if status == 503)
    assert headers["Retry-After"] == "1"
    assert json.loads(body)["code"] == "overloaded"
    assert json.loads(body)["request_id"] == headers["X-Request-ID"]


def test_service_handles_as_many_requests_at_once_as_it_has_threads(port, tmp_path):
    with start_service(port, tmp_path, BARE_SERVICE_THREADS="2") as process:
        request_health(port)
        with ThreadPoolExecutor(6) as clients:
            answers = [clients.submit(request_path, port, "/slow") for _ in range(6)]
            most = max(int(answer.result()[2]) for answer in answers)
        process.terminate()

    assert most == 2


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("body", "stays_open"),
    [
        (b"x" * 10_000, True),
        (b"x" * 200_000, False),
        ([b"x" * 100_000] * 2, False),
    ],
    ids=["small body", "large body", "chunked body"],
)
def test_early_response_announces_whether_the_connection_stays_open(
    port, tmp_path, workers, body, stays_open
):
    with start_service(port, tmp_path, BARE_SERVICE_WORKERS=workers) as process:
        request_health(port)
        try:
            check_early_responses(port, body, stays_open=stays_open)
        finally:
            process.terminate()


def check_early_responses(port, body, *, stays_open):
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        for _ in range(3 if stays_open else 1):
            connection.request("POST", "/unknown", body=body)
            response = connection.getresponse()
            assert response.status == 404
            assert response.read()
            assert (response.headers["Connection"] != "close") is stays_open
    finally:
        connection.close()
