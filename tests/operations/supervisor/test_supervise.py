"""Start, failure, restart and stop of supervised processes."""

import os
import signal
import socket
import stat
import sys
import time
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from backend.chassis.catalog import CATALOG, COMPANIONS
from backend.chassis.console import CommandError
from backend.operations.supervisor.environment import EnvironmentVariables
from backend.operations.supervisor.plan import make_plan
from backend.operations.supervisor.processes.child import SupervisedProcess
from backend.operations.supervisor.processes.valkey import Valkey
from backend.operations.supervisor.supervise import Supervisor
from tests.operations.supervisor.conftest import StandInSuite, is_healthy
from tests.servers import free_port, wait_until

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")


def test_start_makes_every_service_healthy_and_prints_its_address(suite: StandInSuite) -> None:
    process = suite.run("detach")

    assert process.returncode == 0, process.stdout + process.stderr
    assert all(is_healthy(port) for port in suite.ports.values())
    for name, port in suite.ports.items():
        assert f"http://127.0.0.1:{port}" in process.stdout, name
    assert f"GATEWAY=http://127.0.0.1:{suite.ports['gateway']}" in process.stdout
    assert "Logs are in logs, one file for each program" in process.stdout
    assert suite.run("status").returncode == 0


def test_one_time_secret_is_printed_once_and_not_logged(suite: StandInSuite) -> None:
    secret = suite.folder / "data" / "announcements" / "admin"
    secret.parent.mkdir(parents=True)
    secret.write_text("The admin's password is swordfish.")

    process = suite.run("detach")

    assert process.stdout.count("swordfish") == 1
    assert not secret.exists()
    logs = "".join(log.read_text() for log in (suite.folder / "logs").iterdir())
    assert "swordfish" not in logs
    assert "service started" in logs


def test_stop_ends_only_the_processes_of_its_own_suite(
    suite: StandInSuite, tmp_path_factory
) -> None:
    ports = {name: free_port() for name in suite.ports}
    other = StandInSuite(tmp_path_factory.mktemp("other"), ports)
    suite.start()
    other.start()
    try:
        suite.run("stop")

        assert suite.find_processes() == []
        assert all(is_healthy(port) for port in other.ports.values())
    finally:
        other.stop()
    assert other.find_processes() == []


@pytest.fixture
def restore_sighup() -> Iterator[None]:
    """Restore how this process handles SIGHUP, which the processes that it starts inherit."""
    handler = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, handler)


@pytest.mark.usefixtures("restore_sighup")
@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)],
)
def test_supervisor_stops_all_processes_after_a_signal(
    suite: StandInSuite, number: signal.Signals
) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under nohup
    suite.start()
    assert suite.supervisor

    suite.supervisor.send_signal(number)

    assert suite.supervisor.wait(60) == 0
    assert suite.find_processes() == []


@pytest.mark.slow
@pytest.mark.usefixtures("restore_sighup")
def test_supervisor_under_nohup_continues_after_sighup(suite: StandInSuite) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    suite.start()
    assert suite.supervisor

    suite.supervisor.send_signal(signal.SIGHUP)

    assert suite.run("status").returncode == 0
    assert suite.supervisor.poll() is None
    assert all(is_healthy(port) for port in suite.ports.values())


@pytest.mark.slow
def test_service_that_ignores_sigterm_is_killed(suite: StandInSuite) -> None:
    suite.variables["ALPHA_MODE"] = "ignores-sigterm"
    suite.start()

    suite.run("stop")

    assert suite.find_processes() == []


@linux_only
def test_all_processes_end_when_the_supervisor_is_killed(suite: StandInSuite) -> None:
    suite.start()
    assert suite.supervisor
    expected = 1 + 1 + 2 * len(suite.ports)  # supervisor, Valkey, each service with a child
    wait_until(lambda: len(suite.find_processes()) == expected)

    suite.supervisor.kill()
    suite.supervisor.communicate()

    wait_until(lambda: suite.find_processes() == [], seconds=3)
    suite.start()  # ports and lock are free


@linux_only
@pytest.mark.parametrize(
    "name", ["alpha-service", pytest.param("gateway", marks=pytest.mark.slow), "valkey"]
)
def test_killed_program_is_restarted_without_the_others(suite: StandInSuite, name: str) -> None:
    suite.start()
    before = suite.get_pids()

    os.kill(before[name], signal.SIGKILL)

    wait_until(lambda: suite.get_pids()[name] != before[name])
    wait_until(lambda: all(is_healthy(port) for port in suite.ports.values()))
    after = suite.get_pids()
    assert {n: pid for n, pid in after.items() if n != name} == {
        n: pid for n, pid in before.items() if n != name
    }


@pytest.mark.slow
@linux_only
def test_companion_is_started_restarted_and_stopped_like_a_service(suite: StandInSuite) -> None:
    port = free_port()
    suite.variables["HELPER_PORT"] = str(port)
    suite.start()
    before = suite.get_pids()
    assert is_healthy(port)
    assert "helper" in suite.run("status").stdout

    os.kill(before["helper"], signal.SIGKILL)

    wait_until(lambda: suite.get_pids()["helper"] != before["helper"] and is_healthy(port))
    suite.run("stop")
    assert suite.find_processes() == []


def test_second_start_fails_and_does_not_affect_the_first(suite: StandInSuite) -> None:
    suite.start()
    before = suite.get_pids()

    process = suite.run("start")

    assert process.returncode == 1
    assert "already running" in process.stderr
    assert suite.get_pids() == before
    assert all(is_healthy(port) for port in suite.ports.values())


def test_start_reports_the_process_that_uses_a_port(suite: StandInSuite) -> None:
    with socket.create_server(("127.0.0.1", suite.ports["beta"])):
        process = suite.run("start")

    assert process.returncode == 1
    assert f"Port {suite.ports['beta']} of beta-service is in use by" in process.stderr
    assert f"pid {os.getpid()}" in process.stderr
    assert "BETA_SERVICE_PORT" in process.stderr
    assert suite.find_processes() == []


@pytest.mark.parametrize("command", ["start", pytest.param("detach", marks=pytest.mark.slow)])
def test_start_reports_the_last_output_of_a_service_that_exits(
    suite: StandInSuite, command: str
) -> None:
    suite.variables["BETA_MODE"] = "exits"

    process = suite.run(command)

    assert process.returncode == 1
    output = process.stdout + process.stderr
    assert "beta-service exited with code 1 while starting" in output
    assert "SOME_KEY is not set" in output
    assert suite.find_processes() == []


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["logs", "computes"])
def test_start_waits_as_long_as_a_service_makes_progress(suite: StandInSuite, mode: str) -> None:
    # Shorter than the service loads. On a busy machine, a second of CPU time takes seconds.
    suite.variables = {"BETA_MODE": mode, "START_TIMEOUT_SECONDS": "10"}

    process = suite.run("detach")

    assert process.returncode == 0, process.stdout + process.stderr
    assert is_healthy(suite.ports["beta"])


def test_start_fails_with_advice_when_a_service_makes_no_progress(suite: StandInSuite) -> None:
    suite.variables = {"BETA_MODE": "hangs", "START_TIMEOUT_SECONDS": "2"}

    process = suite.run("start")

    assert process.returncode == 1
    assert "beta-service runs but is not ready" in process.stderr
    assert "raise START_TIMEOUT_SECONDS" in process.stderr
    assert suite.find_processes() == []


def test_files_in_the_data_folder_are_private(suite: StandInSuite) -> None:
    suite.start()

    for path in (suite.folder / "data").rglob("*"):
        if path.name in ("url", "valkey.conf", "run", "valkey"):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_start_fails_before_any_process_when_the_disk_is_full(
    suite: StandInSuite, monkeypatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(1, 1, 3 * 1024 * 1024))
    entries = (*CATALOG, *COMPANIONS)
    ports = {entry.port_variable: str(free_port()) for entry in entries if entry.port_variable}

    with pytest.raises(CommandError, match=r"is full: 3 MB are free, 64 MB are needed"):
        Supervisor(
            make_plan(suite.folder, EnvironmentVariables(suite.environment() | ports)),
            on_ready=lambda: None,
        ).run()


def test_restart_delay_grows_with_each_failure_and_resets_after_an_hour(tmp_path) -> None:
    child = SupervisedProcess(
        "any", "", tmp_path / "log", start=lambda: None, is_ready=lambda _: True
    )
    child.started_at = time.time()

    assert [child.schedule_restart() for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]

    child.started_at = time.time() - 3600  # it has run for an hour
    assert child.schedule_restart() == 0.5


def test_second_valkey_on_the_same_folder_fails(suite: StandInSuite) -> None:
    suite.start()
    server = Valkey(Path("/missing"), suite.folder / "data", suite.folder / "logs")

    url = suite.folder / "data" / "valkey" / "url"
    before = url.read_text()

    with pytest.raises(CommandError, match="Another Valkey still uses"):
        server.start({})

    assert url.read_text() == before


def test_acknowledged_writes_survive_a_kill_of_valkey(suite: StandInSuite) -> None:
    suite.start()
    url = (suite.folder / "data" / "valkey" / "url").read_text()
    client = Redis.from_url(url, decode_responses=True)
    client.set("key", "value")

    os.kill(suite.get_pids()["valkey"], signal.SIGKILL)

    def value_exists() -> bool:
        try:
            return client.get("key") == "value"
        except RedisError:
            return False

    wait_until(value_exists)
    client.close()
