"""The numbers of several workers as one."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector

from backend.chassis.observability.multiprocess_metrics import Telling, absorb, share_among_workers
from tests.servers import free_port, process, wait_until

ROOT = Path(__file__).parents[2]
COUNTING = Path(__file__).parent / "stand_ins" / "counting_service.py"


@pytest.fixture
def url(tmp_path):
    """Of a service with three workers."""
    port = free_port()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DATA_DIR": str(tmp_path)}
    environment["COUNTING_SERVICE_WORKERS"] = "3"
    command = [sys.executable, str(COUNTING), str(port)]
    with process(command, tmp_path / "log", cwd=tmp_path, env=environment) as master:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(url))
        yield url
        stopped(master)
        assert list((tmp_path / "data" / "run").glob("numbers-*")) == []


def stopped(master: "subprocess.Popen[bytes]") -> None:
    master.terminate()
    master.wait(timeout=15)


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/who", timeout=5).ok
    except requests.ConnectionError:
        return False


def test_what_the_workers_take_counts_together_and_is_not_lost_with_them(url):
    # The master and three workers, which do not all begin at once.
    wait_until(lambda: taken(url)["service_processes"] == 4)
    before = taken(url)
    assert before["process_open_fds"] > 4 * 3
    worker = next(iter(pids(url)))

    youngest = "service_youngest_process_start_time_seconds"
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: taken(url)[youngest] > before[youngest])
    after = taken(url)

    assert after["process_cpu_seconds_total"] >= before["process_cpu_seconds_total"]
    assert after["process_start_time_seconds"] == before["process_start_time_seconds"]


def taken(url: str) -> dict[str, float]:
    """What the service takes of the machine."""
    lines = requests.get(f"{url}/metrics", timeout=5).text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line.startswith(("process_", "service_")))
    return {name: float(value) for name, value in pairs}


def counted(url: str) -> int:
    """How often `/who` has been asked, as `/metrics` tells it."""
    text = requests.get(f"{url}/metrics", timeout=5).text
    line = r'^http_server_request_duration_seconds_count{.*http_route="/who"} ([0-9.]+)$'
    found = re.search(line, text, re.MULTILINE)
    return int(float(found[1])) if found else 0


def test_every_worker_tells_the_numbers_of_all_and_of_those_that_are_gone(url):
    wait_until(lambda: len(pids(url)) > 1)
    before = counted(url)
    workers = [requests.get(f"{url}/who", timeout=5).text for _ in range(60)]

    assert {counted(url) for _ in range(5)} == {before + 60}

    os.kill(int(workers[0]), signal.SIGKILL)
    wait_until(lambda: int(workers[0]) not in pids(url))

    assert counted(url) >= before + 60


def pids(url: str) -> set[int]:
    """Who answers now."""
    return {int(requests.get(f"{url}/who", timeout=5).text) for _ in range(20)}


class Numbers:
    """What one worker counts by itself."""

    def __init__(self, streams: int, flag: int, durations: list[tuple[str, float]]) -> None:
        self.streams, self.flag, self.durations = streams, flag, durations

    def collect(self):
        yield GaugeMetricFamily("open_streams", "Streams.", value=self.streams)
        yield GaugeMetricFamily("counted_locally", "Whether.", value=self.flag)
        family = HistogramMetricFamily("took_seconds", "Time.", labels=("route",))
        family.add_metric(("a",), self.durations, sum_value=2.5)
        yield family


def test_numbers_of_ones_own_add_up_over_workers_and_outlive_them(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    folder = tmp_path / "numbers"
    share_among_workers(folder)
    flags = ("counted_locally",)
    durations = [("0.5", 1.0), ("1", 3.0), ("+Inf", 4.0)]
    for pid, numbers in ((11, Numbers(2, 1, durations)), (12, Numbers(3, 0, durations))):
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        telling = Telling(numbers, folder, flags)
        telling()
        telling()
        telling.close()

    both = told(folder)
    absorb(folder, 11)
    after = told(folder)

    assert both["open_streams"] == 5.0
    assert both["counted_locally"] == 1.0
    assert both['took_seconds_bucket{le="1.0",route="a"}'] == 6.0
    assert both['took_seconds_count{route="a"}'] == 8.0
    assert both['took_seconds_sum{route="a"}'] == 5.0
    assert (after["open_streams"], after["counted_locally"]) == (3.0, 0.0)
    assert after['took_seconds_bucket{le="1.0",route="a"}'] == 6.0
    assert not list(folder.glob("*_11*"))


def told(folder: Path) -> dict[str, float]:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))
    lines = generate_latest(registry).decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}
