"""Programs on demand: without a process until a client connects, and again when they are idle."""

import os
import signal
import socket
import sys
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest

from backend.chassis.wake_pipe import WakePipe, wake_workers
from backend.operations.supervisor.processes.standby import (
    Standby,
    listen_beside_grpc,
    listen_on_private_socket,
)
from tests.operations.supervisor.conftest import StandInSuite
from tests.servers import free_port, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="starts on demand on Linux only")
NAME = "idler"


@pytest.fixture(params=["started", "forked"])
def port(suite: StandInSuite, request: pytest.FixtureRequest) -> int:
    """Port of a program on demand in a running suite."""
    port = find_free_pair()
    suite.variables["IDLER_PORT"] = str(port)
    if request.param == "forked":
        suite.variables["FORKED"] = "1"
    suite.start()
    return port


def find_free_pair() -> int:
    """Return a free port that is followed by another one, for the probes."""
    while True:
        port = free_port()
        with suppress(OSError), socket.create_server(("127.0.0.1", port + 1)):
            return port


def get_path(port: int, path: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def find_pid(suite: StandInSuite) -> int | None:
    """Return the process id in the state of the suite, or None without a process."""
    state = suite.read_state()
    assert state is not None
    (program,) = [program for program in state.programs if program.name == NAME]
    return None if program.process is None else program.process.pid


def test_program_on_demand_waits_without_a_process(suite: StandInSuite, port: int) -> None:
    assert find_pid(suite) is None

    status = suite.run("status")
    (line,) = [line for line in status.stdout.splitlines() if NAME in line]
    assert "waiting" in line
    assert status.returncode == 0
    assert get_path(port + 1, "/health/live") == (200, "healthy\n")
    assert get_path(port + 1, "/metrics") == (200, "")
    assert get_path(port + 1, "/other")[0] == 404
    assert find_pid(suite) is None


def test_connection_starts_the_program_which_then_waits_again(
    suite: StandInSuite, port: int
) -> None:
    pids = []
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            pids.append(int(client.recv(100)))
            wait_until(lambda: find_pid(suite) == pids[-1])
        wait_until(lambda: find_pid(suite) is None)
        assert get_path(port + 1, "/health/live")[0] == 200

    assert pids[0] != pids[1]


def test_killed_program_on_demand_is_restarted(suite: StandInSuite, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        pid = int(client.recv(100))
        wait_until(lambda: find_pid(suite) == pid)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: find_pid(suite) not in (pid, None))

    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        assert int(client.recv(100)) != pid


def test_stop_ends_a_program_on_demand(suite: StandInSuite, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        assert client.recv(100)

        suite.run("stop")

        assert suite.find_processes() == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=20).close()


def test_start_fails_if_the_probes_of_a_program_on_demand_have_no_port(suite: StandInSuite) -> None:
    port = find_free_pair()
    suite.variables["IDLER_PORT"] = str(port)
    with socket.create_server(("127.0.0.1", port + 1)):
        process = suite.run("start")

    assert process.returncode == 1
    assert "idler cannot listen" in process.stderr
    assert suite.find_processes() == []


def test_wake_up_is_kept_for_the_process_of_the_program(tmp_path: Path) -> None:
    standby = Standby(pipe=WakePipe(tmp_path, 5040))
    assert not standby.is_woken

    assert wake_workers(tmp_path)

    assert standby.is_woken
    assert standby.is_woken
    process = WakePipe(tmp_path, 5040)
    assert process.wait(0)
    assert not standby.is_woken
    standby.close()
    process.close()


def test_socket_of_a_program_on_demand_is_private(tmp_path: Path) -> None:
    path = tmp_path / "vectors.sock"
    standby = Standby(main=listen_on_private_socket(path))

    assert path.stat().st_mode & 0o077 == 0
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert standby.is_woken
    standby.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1"])  # noqa: S104
def test_client_reaches_the_socket_of_each_kind_of_address(host: str) -> None:
    address = "::1" if ":" in host else "127.0.0.1"
    try:
        with listen_beside_grpc(host, 0) as listener:
            port = listener.getsockname()[1]
            socket.create_connection((address, port), timeout=20).close()
    except OSError:
        if ":" not in host:
            raise
        pytest.skip("This host has no IPv6.")
