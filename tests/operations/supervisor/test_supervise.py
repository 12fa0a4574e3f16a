"""The suite's life with real processes: start, death, restart, end."""

import os
import signal
import socket
import stat
import sys
import time
from collections import namedtuple
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from backend.chassis.console import CannotRun
from backend.operations.supervisor.child import Child
from backend.operations.supervisor.environment import Variables
from backend.operations.supervisor.plan import make_plan
from backend.operations.supervisor.supervise import Supervisor
from backend.operations.supervisor.valkey import Valkey
from tests.operations.supervisor.conftest import StandInSuite, answers
from tests.servers import free_port, wait_until

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux's")


def test_a_start_makes_every_service_answer_and_says_where(suite: StandInSuite) -> None:
    outcome = suite.run("detach")

    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert all(answers(port) for port in suite.ports.values())
    for name, port in suite.ports.items():
        assert f"http://127.0.0.1:{port}" in outcome.stdout, name
    assert f"GATEWAY=http://127.0.0.1:{suite.ports['gateway']}" in outcome.stdout
    assert suite.run("status").returncode == 0


def test_an_announcement_is_shown_once_and_stands_in_no_log(suite: StandInSuite) -> None:
    note = suite.folder / "data" / "announcements" / "admin"
    note.parent.mkdir(parents=True)
    note.write_text("The admin's password is swordfish.")

    outcome = suite.run("detach")

    assert outcome.stdout.count("swordfish") == 1
    assert not note.exists()
    logs = "".join(log.read_text() for log in (suite.folder / "logs").iterdir())
    assert "swordfish" not in logs
    assert "the service speaks" in logs


def test_stop_ends_exactly_what_was_started(suite: StandInSuite, tmp_path_factory) -> None:
    ports = {name: free_port() for name in suite.ports}
    other = StandInSuite(tmp_path_factory.mktemp("other"), ports)
    suite.start()
    other.start()
    try:
        suite.run("stop")

        assert suite.processes() == []
        assert all(answers(port) for port in other.ports.values())
    finally:
        other.end()
    assert other.processes() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything_in_order(suite: StandInSuite, number: signal.Signals) -> None:
    suite.start()
    assert suite.supervisor

    suite.supervisor.send_signal(number)

    assert suite.supervisor.wait(15) == 0
    assert suite.processes() == []


def test_a_service_that_ignores_the_end_is_ended_by_force(suite: StandInSuite) -> None:
    suite.variables["ALPHA_MANNER"] = "deaf"
    suite.start()

    suite.run("stop")

    assert suite.processes() == []


@linux_only
def test_nothing_is_left_when_the_supervisor_is_killed(suite: StandInSuite) -> None:
    suite.start()
    assert suite.supervisor
    everything = 1 + 1 + 2 * len(suite.ports)  # itself, Valkey, each service with a child
    wait_until(lambda: len(suite.processes()) == everything)

    suite.supervisor.kill()
    suite.supervisor.communicate()

    wait_until(lambda: suite.processes() == [], seconds=3)
    suite.start()  # and the next start finds nothing in its way


@linux_only
@pytest.mark.parametrize("name", ["alpha-service", "gateway", "valkey"])
def test_what_dies_comes_back_and_the_others_stay(suite: StandInSuite, name: str) -> None:
    suite.start()
    before = suite.pids()

    os.kill(before[name], signal.SIGKILL)

    wait_until(lambda: suite.pids()[name] != before[name])
    wait_until(lambda: all(answers(port) for port in suite.ports.values()))
    after = suite.pids()
    assert {n: pid for n, pid in after.items() if n != name} == {
        n: pid for n, pid in before.items() if n != name
    }


@linux_only
def test_a_companion_is_started_watched_and_ended_like_a_service(suite: StandInSuite) -> None:
    port = free_port()
    suite.variables["HELPER_PORT"] = str(port)
    suite.start()
    before = suite.pids()
    assert answers(port)
    assert "helper" in suite.run("status").stdout

    os.kill(before["helper"], signal.SIGKILL)

    wait_until(lambda: suite.pids()["helper"] != before["helper"] and answers(port))
    suite.run("stop")
    assert suite.processes() == []


def test_a_second_start_is_refused_and_leaves_the_first_alone(suite: StandInSuite) -> None:
    suite.start()
    before = suite.pids()

    outcome = suite.run("start")

    assert outcome.returncode == 1
    assert "already run" in outcome.stderr
    assert suite.pids() == before
    assert all(answers(port) for port in suite.ports.values())


def test_a_taken_port_is_named_with_its_holder(suite: StandInSuite) -> None:
    with socket.create_server(("127.0.0.1", suite.ports["beta"])):
        outcome = suite.run("start")

    assert outcome.returncode == 1
    assert f"Port {suite.ports['beta']}, which beta-service wants" in outcome.stderr
    assert f"pid {os.getpid()}" in outcome.stderr
    assert "BETA_SERVICE_PORT" in outcome.stderr
    assert suite.processes() == []


@pytest.mark.parametrize("word", ["start", "detach"])
def test_a_service_that_dies_at_start_is_named_with_its_last_words(
    suite: StandInSuite, word: str
) -> None:
    suite.variables["BETA_MANNER"] = "dies"

    outcome = suite.run(word)

    assert outcome.returncode == 1
    heard = outcome.stdout + outcome.stderr
    assert "beta-service ended with code 1 while starting" in heard
    assert "SOME_KEY is not set" in heard
    assert suite.processes() == []


def test_the_data_folder_is_for_its_owner_alone(suite: StandInSuite) -> None:
    suite.start()

    for path in (suite.folder / "data").rglob("*"):
        if path.name in ("url", "valkey.conf", "run", "valkey"):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_full_disk_is_named_before_anything_starts(suite: StandInSuite, monkeypatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(1, 1, 3 * 1024 * 1024))

    with pytest.raises(CannotRun, match=r"is full: 3 MB are free and 64 MB are needed"):
        Supervisor(
            make_plan(suite.folder, Variables(suite.environment())), on_ready=lambda: None
        ).run()


def test_the_pause_before_a_restart_grows_while_it_keeps_dying(tmp_path) -> None:
    child = Child("any", "", tmp_path / "log", start=lambda: None, is_ready=lambda _: True)
    child.since = time.time()

    assert [child.plan_restart() for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]

    child.since = time.time() - 3600  # it ran for an hour meanwhile
    assert child.plan_restart() == 0.5


def test_one_valkey_to_a_folder(suite: StandInSuite) -> None:
    suite.start()
    server = Valkey(Path("/nowhere"), suite.folder / "data", suite.folder / "logs")

    url = suite.folder / "data" / "valkey" / "url"
    before = url.read_text()

    with pytest.raises(CannotRun, match="Another Valkey still uses"):
        server.start({})

    assert url.read_text() == before


def test_what_valkey_acknowledged_is_there_after_it_was_killed(suite: StandInSuite) -> None:
    suite.start()
    url = (suite.folder / "data" / "valkey" / "url").read_text()
    client = Redis.from_url(url, decode_responses=True)
    client.set("kept", "yes")

    os.kill(suite.pids()["valkey"], signal.SIGKILL)

    def kept() -> bool:
        try:
            return client.get("kept") == "yes"
        except RedisError:
            return False

    wait_until(kept)
    client.close()
