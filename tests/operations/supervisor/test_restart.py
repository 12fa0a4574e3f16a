"""Restart with merged options, and the checks of ports before a start."""

import os
import socket
import subprocess
import sys

import pytest

from backend.chassis.catalog import CATALOG, COMPANIONS
from backend.operations import command_line as command
from backend.operations.supervisor.environment import EnvironmentVariables
from backend.operations.supervisor.plan import make_plan
from backend.operations.supervisor.processes.ports import explain_unavailable
from backend.operations.supervisor.processes.spawn import ProcessIdentity, identify
from backend.operations.supervisor.state import RunningProgram, SupervisorState
from tests.servers import free_port


class Replaced(Exception):
    """The process would be replaced by this command."""


@pytest.fixture
def restart(tmp_path, monkeypatch):
    """Run `restart` for services whose supervisor was started with some arguments."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("LOG_DIR", str(tmp_path / "logs"))
    for entry in (*CATALOG, *COMPANIONS):
        if entry.port_variable:
            monkeypatch.setenv(entry.port_variable, str(free_port()))
    monkeypatch.setattr(command.installer, "ensure_installed", lambda _: None)
    monkeypatch.setattr(command.sys, "prefix", str(command.ROOT / ".venv"))
    supervisor = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])

    def replace_process(_python, *arguments):
        raise Replaced(*arguments)

    monkeypatch.setattr(command, "_replace_process", replace_process)

    def run(*arguments, previous, programs=()):
        state = SupervisorState(
            identify(supervisor.pid), arguments=list(previous), programs=list(programs)
        )
        (tmp_path / "data" / "run").mkdir(parents=True)
        state.write(tmp_path / "data" / "run")
        return command.main(["restart", *arguments])

    run.supervisor = supervisor
    yield run
    supervisor.kill()
    supervisor.wait()


@pytest.mark.parametrize(
    ("arguments", "scale", "offset"),
    [
        ((), {"rag": 2, "auth": 2}, 300),
        (("--scale", "rag=3"), {"rag": 3, "auth": 2}, 300),
        (("--port-offset", "400"), {"rag": 2, "auth": 2}, 400),
    ],
)
def test_restart_merges_new_options_into_those_of_the_last_start(restart, arguments, scale, offset):
    previous = ["--detach", "--scale", "rag=2", "--scale", "auth=2", "--port-offset", "300"]

    with pytest.raises(Replaced) as replaced:
        restart(*arguments, previous=previous)

    options = command._create_parser().parse_args(replaced.value.args)
    assert (options.command, options.detach) == ("start", True)
    assert (dict(options.scale), options.port_offset) == (scale, offset)
    assert restart.supervisor.wait(60) is not None


def test_restart_stops_nothing_if_a_port_is_taken(restart, capsys):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", int(os.environ["AUTH_SERVICE_PORT"])))
        listener.listen(1)

        assert restart(previous=["--detach"]) == 1

    assert "of auth-service is in use by pid" in capsys.readouterr().err
    assert restart.supervisor.poll() is None


def test_restart_may_use_the_ports_of_the_running_services(restart):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", int(os.environ["AUTH_SERVICE_PORT"])))
        listener.listen(1)
        url = f"http://127.0.0.1:{os.environ['AUTH_SERVICE_PORT']}"
        program = RunningProgram("auth", ProcessIdentity(1, "never"), url, "auth.log", 0.0)

        with pytest.raises(Replaced):
            restart(previous=["--detach"], programs=[program])


def test_missing_address_and_port_in_use_are_distinguished():
    assert explain_unavailable("192.0.2.1", 5000).endswith("this host has no address 192.0.2.1")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        problem = explain_unavailable("127.0.0.1", listener.getsockname()[1])
    assert problem.startswith(f"is in use by pid {os.getpid()}")


@pytest.mark.parametrize(
    ("host", "loopback", "worker"),
    [
        (None, "127.0.0.1", "127.0.0.1"),
        ("::1", "::1", "::1"),
        ("::", "::1", "::1"),
        ("0.0.0.0", "127.0.0.1", "127.0.0.1"),  # noqa: S104 - not bound
        ("192.0.2.1", "127.0.0.1", "192.0.2.1"),
    ],
)
def test_companions_follow_the_address_family_of_host(host, loopback, worker):
    plan = make_plan(command.ROOT, EnvironmentVariables({"HOST": host} if host else {}))
    addresses = {program.name: program.address for program in plan.programs}

    assert addresses["rag-worker"] == worker
    assert plan.loopback_host == loopback
