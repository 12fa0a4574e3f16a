"""Processes forked by the fork server, and the fork server's failures."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.chassis.catalog import CATALOG
from backend.operations.supervisor.environment import EnvironmentVariables
from backend.operations.supervisor.plan import StartOptions, make_plan
from backend.operations.supervisor.processes import fork_client
from backend.operations.supervisor.processes.fork_client import ForkedProcess, ForkServer
from backend.operations.supervisor.processes.spawn import get_start_time
from tests.operations.supervisor.conftest import StandInSuite, is_healthy
from tests.servers import wait_until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="processes are forked on Linux only"
)

ROOT = Path(__file__).parents[3]
STAND_INS = "tests.operations.supervisor.stand_ins"
COMMAND = (sys.executable, "-m", f"{STAND_INS}.forked_program")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    log = tmp_path_factory.mktemp("server") / "fork_server.log"
    modules = ("a_missing_module", f"{STAND_INS}.imported_module")
    environment = {"PATH": os.environ["PATH"], "ONLY_IN_SERVER": "1"}
    server = ForkServer(modules, log, environment, ROOT)
    process = server.start()
    assert server.is_ready(20)
    yield server
    process.kill()
    process.wait()


def fork(server: ForkServer, log: Path, *arguments: str, **variables: str) -> ForkedProcess:
    process = server.fork((*COMMAND, *arguments), log, variables, log.parent)
    assert process is not None
    return process


def read_description(log: Path) -> dict[str, Any]:
    """Return what forked_program.py has printed about its process, as soon as it has."""
    wait_until(lambda: log.exists() and "\n" in log.read_text())
    description: dict[str, Any] = json.loads(log.read_text().splitlines()[0])
    return description


def test_forked_process_is_a_child_like_a_started_one(server: ForkServer, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = fork(server, log, "exit")
    process.wait()

    description = read_description(log)
    assert description["pid"] == description["group"] == process.pid
    assert description["parent"] == os.getpid()
    assert description["folder"] == str(tmp_path)
    assert description["arguments"] == ["exit"]
    assert description["main"] == COMMAND[2]
    assert description["threads"] == 1
    assert description["collects_garbage"]
    # Standard input, output, error, and the listing of the folder itself.
    assert description["descriptors"] == [0, 1, 2, 3]


def test_forked_process_shows_its_own_command_line(server: ForkServer, tmp_path: Path) -> None:
    fork(server, tmp_path / "log", "exit").wait()

    command = read_description(tmp_path / "log")["command"]
    assert command == [*COMMAND, "exit"]


def test_forked_process_shares_the_imports_of_the_server(
    server: ForkServer, tmp_path: Path
) -> None:
    fork(server, tmp_path / "log", "exit").wait()

    description = read_description(tmp_path / "log")
    assert description["importer"] not in (description["pid"], os.getpid())


def test_forked_process_has_only_its_own_environment(server: ForkServer, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    fork(server, first, "exit", FIRST="ä").wait()
    fork(server, second, "exit", SECOND="x" * 300_000).wait()

    variables = [read_description(log)["environment"] for log in (first, second)]
    assert variables[0]["FIRST"] == "ä"
    assert len(variables[1]["SECOND"]) == 300_000
    assert "FIRST" not in variables[1]
    assert not any("ONLY_IN_SERVER" in environment for environment in variables)
    assert all(environment["DO_NOT_TRACK"] == "1" for environment in variables)


def test_exit_code_is_reported_after_threads_and_exit_functions(
    server: ForkServer, tmp_path: Path
) -> None:
    process = fork(server, tmp_path / "log", "exit")

    assert process.wait() == 7
    assert process.poll() == 7
    assert "the exit function was called" in (tmp_path / "log").read_text()


def test_exception_ends_the_process_with_a_traceback(server: ForkServer, tmp_path: Path) -> None:
    process = fork(server, tmp_path / "log", "fail")

    assert process.wait() == 1
    assert "RuntimeError: no reason" in (tmp_path / "log").read_text()


def test_signal_is_reported_as_a_negative_exit_code(server: ForkServer, tmp_path: Path) -> None:
    process = fork(server, tmp_path / "log", "sleep")
    read_description(tmp_path / "log")
    assert process.poll() is None

    os.kill(process.pid, signal.SIGTERM)

    assert process.wait() == -signal.SIGTERM


def test_plain_output_is_converted_to_json(server: ForkServer, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = server.fork((*COMMAND, "fail"), log, {}, tmp_path, output_service="helper")
    assert process is not None
    assert log.exists()
    process.wait()

    wait_until(lambda: "no reason" in log.read_text())
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["service"] for line in lines[1:]} == {"helper"}


def test_programs_that_are_no_modules_are_not_forked(server: ForkServer, tmp_path: Path) -> None:
    assert server.fork((sys.executable, "program.py"), tmp_path / "log", {}, tmp_path) is None
    assert server.fork(("/bin/true",), tmp_path / "log", {}, tmp_path) is None


@pytest.mark.slow
def test_killed_server_leaves_its_processes_and_can_be_restarted(tmp_path: Path) -> None:
    server = ForkServer((), tmp_path / "server.log", dict(os.environ), ROOT)
    killed = server.start()
    assert server.is_ready(20)
    process = fork(server, tmp_path / "log", "sleep")
    killed.kill()
    killed.wait()

    assert server.fork((*COMMAND, "exit"), tmp_path / "other", {}, tmp_path) is None
    assert process.poll() is None

    restarted = server.start()
    assert server.is_ready(20)
    assert fork(server, tmp_path / "other", "exit").wait() == 7
    for child in (process, restarted):
        os.kill(child.pid, signal.SIGKILL)
        child.wait()


def test_server_that_does_not_respond_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_client, "_TIMEOUT_SECONDS", 0.3)
    server = ForkServer((), tmp_path / "server.log", dict(os.environ), ROOT)
    frozen = server.start()
    assert server.is_ready(20)
    frozen.send_signal(signal.SIGSTOP)

    assert server.fork((*COMMAND, "sleep"), tmp_path / "log", {}, tmp_path) is None

    assert frozen.wait(60) == -signal.SIGKILL
    assert not (tmp_path / "log").read_text()


# Imports the modules of all services, then forks a process that allocates 400 KB in small objects.
_IMPORT_AND_FORK = """
import json, os, sys
from backend.operations.supervisor.processes.fork_server import import_modules

def count_private_kilobytes():
    lines = open('/proc/self/smaps_rollup').read().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith('Private_Dirty'))

import_modules(sys.argv[1:])
missing = set(sys.argv[1:]) - set(sys.modules)
threads = len(os.listdir('/proc/self/task'))
tables = sys.modules['backend.services.packages.store.tables']
is_configured = all(mapper.configured for mapper in tables.Base.registry.mappers)
reader, writer = os.pipe()
if os.fork() == 0:
    before = count_private_kilobytes()
    objects = [[bytes(size - 33) for _ in range(50)] for size in range(48, 513, 16)]
    os.write(writer, str(count_private_kilobytes() - before).encode())
    os._exit(0)
os.wait()
copied = int(os.read(reader, 100))
results = {"missing": sorted(missing), "threads": threads, "kilobytes": copied}
print(json.dumps(results | {"is_configured": is_configured}))
"""


@pytest.fixture(scope="module")
def imported_services() -> dict[str, Any]:
    """Measurements of a process that has imported the modules of all services."""
    plan = make_plan(ROOT, EnvironmentVariables({}))
    modules = {name for program in plan.programs for name in program.imports}
    assert {service.module for service in CATALOG} < modules
    # OpenBLAS starts threads when it is loaded. It ends them before a fork (pthread_atfork).
    result = subprocess.run(
        [sys.executable, "-c", _IMPORT_AND_FORK, *sorted(modules)],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    measured: dict[str, Any] = json.loads(result.stdout)
    return measured


def test_server_has_one_thread_after_importing_all_services(
    imported_services: dict[str, Any],
) -> None:
    """A fork copies only the thread that calls it: locks that others hold stay locked for ever."""
    assert imported_services["missing"] == []
    assert imported_services["threads"] == 1


def test_classes_of_tables_are_configured_before_the_fork(
    imported_services: dict[str, Any],
) -> None:
    # Otherwise the first query of each service writes a megabyte of its own.
    assert imported_services["is_configured"]


def test_new_objects_of_a_forked_process_copy_no_pages_of_modules(
    imported_services: dict[str, Any],
) -> None:
    # Without free memory between the objects of modules, only new pages are written.
    assert imported_services["kilobytes"] < 1500


def test_plan_forks_services_with_one_worker_outside_of_the_development_mode() -> None:
    def find_forked(options: StartOptions, **variables: str) -> set[str]:
        plan = make_plan(ROOT, EnvironmentVariables(variables), options)
        return {program.name for program in plan.programs if program.imports}

    assert find_forked(StartOptions(), RAG_SERVICE_WORKERS="2") == {
        *("auth-service", "agent-service", "admin-service", "gateway", "vectors", "rag-worker"),
        "realtime-service",
        "packages-service",
        "chat-service",
        "chat-worker",
        "console-service",
    }
    assert find_forked(StartOptions(dev=True)) == set()


@pytest.fixture
def forked_suite(suite: StandInSuite) -> StandInSuite:
    suite.variables["FORKED"] = "1"
    suite.start()
    return suite


def read_stat(pid: int) -> list[str]:
    """Return the fields of proc_pid_stat(5) from the third on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def was_forked(suite: StandInSuite, name: str) -> bool:
    """Return whether the program has the address space of the fork server, and its own parent."""
    pids = suite.get_pids()
    server, program = read_stat(pids["fork-server"]), read_stat(pids[name])
    assert suite.supervisor is not None
    assert int(program[1]) == suite.supervisor.pid
    return program[45] == server[45]  # arg_start, which is random for each executed program


@pytest.mark.slow
def test_supervisor_restarts_a_forked_service(forked_suite: StandInSuite) -> None:
    pids = forked_suite.get_pids()
    assert all(was_forked(forked_suite, f"{name}-service") for name in ("alpha", "beta"))
    os.kill(pids["alpha-service"], signal.SIGKILL)

    wait_until(lambda: forked_suite.get_pids()["alpha-service"] != pids["alpha-service"])
    wait_until(lambda: is_healthy(forked_suite.ports["alpha"]))
    assert was_forked(forked_suite, "alpha-service")
    assert "alpha-service was killed by SIGKILL" in read_supervisor_log(forked_suite)


@pytest.mark.slow
def test_supervisor_restarts_the_fork_server(forked_suite: StandInSuite) -> None:
    pids = forked_suite.get_pids()
    os.kill(pids["fork-server"], signal.SIGKILL)

    wait_until(lambda: forked_suite.get_pids()["fork-server"] != pids["fork-server"])
    assert {**forked_suite.get_pids(), "fork-server": 0} == {**pids, "fork-server": 0}
    assert all(is_healthy(port) for port in forked_suite.ports.values())


def test_no_process_survives_a_killed_supervisor(forked_suite: StandInSuite) -> None:
    assert forked_suite.supervisor is not None
    pids = forked_suite.find_processes()
    forked_suite.supervisor.kill()
    forked_suite.supervisor.wait()

    wait_until(lambda: not any(get_start_time(pid) for pid in pids), seconds=5)


def test_stop_ends_forked_services(forked_suite: StandInSuite) -> None:
    assert "fork-server" in forked_suite.run("status").stdout

    forked_suite.run("stop")

    assert forked_suite.find_processes() == []


def read_supervisor_log(suite: StandInSuite) -> str:
    return (suite.folder / "logs" / "supervisor.log").read_text()
