"""Workers whose work runs in a child process that exists only while there is work."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.chassis.wake_pipe import wake_workers
from tests.servers import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks its child on Linux only")

ROOT = Path(__file__).parents[2]
# Arguments: data folder, and "start" if the worker runs its work once at its start. Each run of
# the work appends to a file whether the worker was woken for it.
_WORKER = """
import sys
from pathlib import Path
from backend.chassis.on_demand import run_on_demand
from backend.chassis.wake_pipe import WakePipe

folder = Path(sys.argv[1])

def work():
    reason = "woken" if pipe.wait(0) else "start"
    with (folder / "runs").open("a") as file:
        file.write(f"{reason}\\n")

pipe = WakePipe(folder, 1)
run_on_demand(work, pipe, None, runs_at_start=sys.argv[2] == "start")
"""


class Worker:
    def __init__(self, folder: Path, when: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen([sys.executable, "-c", _WORKER, folder, when], cwd=ROOT)

    def list_runs(self) -> list[str]:
        """Return the reasons of the runs so far."""
        file = self.folder / "runs"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def workers() -> Iterator[list[Worker]]:
    started: list[Worker] = []
    yield started
    for worker in started:
        worker.process.kill()
        worker.process.wait()


def test_worker_that_waits_at_its_start_has_a_child_only_after_it_was_woken(
    tmp_path: Path, workers: list[Worker]
) -> None:
    workers.append(worker := Worker(tmp_path, "later"))
    wait_until(lambda: wake_workers(tmp_path))

    wait_until(lambda: worker.list_runs() == ["woken"])
    wait_until(lambda: wake_workers(tmp_path))
    wait_until(lambda: worker.list_runs() == ["woken", "woken"])


def test_worker_does_its_work_at_its_start_without_a_wake_up(
    tmp_path: Path, workers: list[Worker]
) -> None:
    workers.append(worker := Worker(tmp_path, "start"))

    wait_until(lambda: worker.list_runs() == ["start"])


def test_signal_ends_a_worker_without_a_child(tmp_path: Path, workers: list[Worker]) -> None:
    workers.append(worker := Worker(tmp_path, "later"))
    # The handlers are installed before the first wake-up is handled.
    wait_until(lambda: wake_workers(tmp_path))
    wait_until(lambda: worker.list_runs() == ["woken"])

    os.kill(worker.process.pid, signal.SIGTERM)

    # The signal may arrive while the first child is waited for.
    assert worker.process.wait(30) == 0
    assert worker.list_runs() == ["woken"]
