"""Programs that run but no longer respond are detected and restarted."""

import os
import signal
import time

import pytest

from backend.operations.supervisor.processes.child import SupervisedProcess
from backend.operations.supervisor.processes.liveness import LivenessMonitor
from backend.operations.supervisor.processes.spawn import ProcessIdentity
from tests.operations.supervisor.conftest import StandInSuite, is_healthy
from tests.servers import wait_until


class Program:
    """A program whose responses the test determines."""

    def __init__(self, tmp_path):
        self.responds = True
        self.child = SupervisedProcess(
            "any",
            "",
            tmp_path / "log",
            start=lambda: None,
            is_ready=lambda _: True,
            is_responding=lambda _: self.responds,
        )
        self.child.identity = ProcessIdentity(1, "first")
        self.monitor = LivenessMonitor(self.child)

    def probe(self, times, *, responds):
        self.responds = responds
        for _ in range(times):
            self.monitor.probe()
        return self.monitor.is_unresponsive


@pytest.fixture
def program(tmp_path):
    return Program(tmp_path)


def test_program_is_unresponsive_after_thirty_seconds_of_missed_probes(program):
    assert not program.probe(1, responds=True)
    assert not program.probe(5, responds=False)
    assert program.probe(1, responds=False)


def test_one_response_resets_the_missed_probes(program):
    program.probe(1, responds=True)
    program.probe(5, responds=False)
    program.probe(1, responds=True)

    assert not program.probe(5, responds=False)


def test_program_that_still_starts_is_not_unresponsive(program):
    assert not program.probe(20, responds=False)


def test_restarted_program_is_not_unresponsive_before_its_first_response(program):
    program.probe(1, responds=True)
    program.probe(6, responds=False)
    program.child.identity = ProcessIdentity(2, "second")

    assert not program.monitor.is_unresponsive
    assert not program.probe(20, responds=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["alpha-service", "valkey"])
def test_frozen_program_is_restarted(suite: StandInSuite, name: str) -> None:
    suite.start()
    before = suite.get_pids()
    time.sleep(1)

    os.kill(before[name], signal.SIGSTOP)

    wait_until(lambda: suite.get_pids()[name] != before[name], 60)
    wait_until(lambda: all(is_healthy(port) for port in suite.ports.values()))
    after = suite.get_pids()
    assert {n for n in after if after[n] != before[n]} == {name}
