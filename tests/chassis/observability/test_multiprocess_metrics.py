"""Metrics of several workers, aggregated."""

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

from backend.chassis.observability.multiprocess_metrics import (
    MultiprocessExporter,
    enable_multiprocess_mode,
    merge_dead_worker,
)
from tests.servers import free_port, process, wait_until

ROOT = Path(__file__).parents[3]
COUNTING = Path(__file__).parents[1] / "stand_ins" / "counting_service.py"


@pytest.fixture
def url(tmp_path):
    """URL of a service with three workers."""
    port = free_port()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DATA_DIR": str(tmp_path)}
    environment["COUNTING_SERVICE_WORKERS"] = "3"
    command = [sys.executable, str(COUNTING), str(port)]
    with process(command, tmp_path / "log", cwd=tmp_path, env=environment) as master:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: is_ready(url))
        yield url
        stop(master)
        assert list((tmp_path / "data" / "run").glob("numbers-*")) == []


def stop(master: "subprocess.Popen[bytes]") -> None:
    master.terminate()
    master.wait(timeout=15)


def is_ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/who", timeout=30).ok
    except requests.ConnectionError:
        return False


@pytest.mark.slow
def test_process_metrics_cover_all_workers_and_survive_a_killed_one(url):
    # The master and three workers, which do not all start at the same time.
    wait_until(lambda: read_process_metrics(url)["service_processes"] == 4)
    before = read_process_metrics(url)
    assert before["process_open_fds"] > 4 * 3
    worker = next(iter(list_serving_pids(url)))

    youngest = "service_youngest_process_start_time_seconds"
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: read_process_metrics(url)[youngest] > before[youngest])
    after = read_process_metrics(url)

    assert after["process_cpu_seconds_total"] >= before["process_cpu_seconds_total"]
    assert after["process_start_time_seconds"] == before["process_start_time_seconds"]


def read_process_metrics(url: str) -> dict[str, float]:
    lines = requests.get(f"{url}/metrics", timeout=30).text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line.startswith(("process_", "service_")))
    return {name: float(value) for name, value in pairs}


def read_request_count(url: str) -> int:
    """Return the number of requests to `/who` according to `/metrics`."""
    text = requests.get(f"{url}/metrics", timeout=30).text
    line = r'^http_server_request_duration_seconds_count{.*http_route="/who"} ([0-9.]+)$'
    match = re.search(line, text, re.MULTILINE)
    return int(float(match[1])) if match else 0


def test_every_worker_reports_the_counts_of_all_workers_including_dead_ones(url):
    wait_until(lambda: len(list_serving_pids(url)) > 1)
    before = read_request_count(url)
    workers = [requests.get(f"{url}/who", timeout=30).text for _ in range(60)]

    assert {read_request_count(url) for _ in range(5)} == {before + 60}

    os.kill(int(workers[0]), signal.SIGKILL)
    wait_until(lambda: int(workers[0]) not in list_serving_pids(url))

    assert read_request_count(url) >= before + 60


def list_serving_pids(url: str) -> set[int]:
    """Return the ids of the processes that currently serve requests."""
    return {int(requests.get(f"{url}/who", timeout=30).text) for _ in range(20)}


class WorkerCollector:
    """Collector of the values of one worker."""

    def __init__(self, streams: int, flag: int, durations: list[tuple[str, float]]) -> None:
        self.streams, self.flag, self.durations = streams, flag, durations

    def collect(self):
        yield GaugeMetricFamily("open_streams", "Streams.", value=self.streams)
        yield GaugeMetricFamily("counted_locally", "Flag.", value=self.flag)
        family = HistogramMetricFamily("took_seconds", "Time.", labels=("route",))
        family.add_metric(("a",), self.durations, sum_value=2.5)
        yield family


def test_exported_values_are_summed_over_workers_and_survive_dead_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    folder = tmp_path / "metrics"
    enable_multiprocess_mode(folder)
    max_gauges = ("counted_locally",)
    durations = [("0.5", 1.0), ("1", 3.0), ("+Inf", 4.0)]
    workers = ((11, WorkerCollector(2, 1, durations)), (12, WorkerCollector(3, 0, durations)))
    for pid, collector in workers:
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        exporter = MultiprocessExporter(collector, folder, max_gauges)
        exporter()
        exporter()
        exporter.close()

    both = read_values(folder)
    merge_dead_worker(folder, 11)
    after = read_values(folder)

    assert both["open_streams"] == 5.0
    assert both["counted_locally"] == 1.0
    assert both['took_seconds_bucket{le="1.0",route="a"}'] == 6.0
    assert both['took_seconds_count{route="a"}'] == 8.0
    assert both['took_seconds_sum{route="a"}'] == 5.0
    assert (after["open_streams"], after["counted_locally"]) == (3.0, 0.0)
    assert after['took_seconds_bucket{le="1.0",route="a"}'] == 6.0
    assert not list(folder.glob("*_11*"))


def read_values(folder: Path) -> dict[str, float]:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))
    lines = generate_latest(registry).decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}
