"""CPU, memory and file metrics of a service's processes.

The names follow
https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics. The values cover all
processes of the service: its only process, or gunicorn's master and its workers, and their
children. They are read from /proc at each scrape. Systems without /proc report none.
"""

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)

from backend import __version__
from backend.chassis.observability.multiprocess_metrics import get_root_pid

_PROC: Final = Path("/proc")
_FD_LIMIT: Final = "Max open files"


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """Resource usage of one process.

    Attributes:
        cpu_seconds: user and system time, including that of children it has waited for: the time
            of ended processes is not lost.
        start_time_seconds: seconds since the epoch.
    """

    pid: int
    cpu_seconds: float
    threads: int
    start_time_seconds: float
    virtual_bytes: int
    resident_bytes: int
    open_fds: int
    max_fds: int


class BuildInfoCollector:
    """Prometheus collector of the version of *service* and of Python."""

    def __init__(self, service: str) -> None:
        self._labels = {
            "service": service,
            "version": __version__,
            "python_version": platform.python_version(),
        }

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("service_build", "Version of the service.", value=self._labels)


class ProcessCollector:
    """Prometheus collector of the resource usage of the service's processes."""

    def collect(self) -> Iterator[Metric]:
        root = get_root_pid()
        usages = list(_read_usages(root))
        if not usages:
            return
        yield CounterMetricFamily(
            "process_cpu_seconds",
            "CPU time of all processes, including ended ones.",
            value=sum(usage.cpu_seconds for usage in usages),
        )
        for name, description, value in _sum_usages(usages):
            yield GaugeMetricFamily(name, description, value=value)
        yield GaugeMetricFamily(
            "process_start_time_seconds",
            "Start time of the service in seconds since the epoch.",
            value=next((usage.start_time_seconds for usage in usages if usage.pid == root), 0.0),
        )
        main_pids = (root, *_list_workers(root))
        yield GaugeMetricFamily(
            "service_youngest_process_start_time_seconds",
            "Start time of the youngest worker. It increases when a worker is replaced.",
            value=max(usage.start_time_seconds for usage in usages if usage.pid in main_pids),
        )
        yield GaugeMetricFamily(
            "service_open_fds_ratio",
            "Open files divided by their limit, of the process with the highest ratio.",
            value=max(usage.open_fds / usage.max_fds for usage in usages),
        )


def _sum_usages(usages: list[ProcessUsage]) -> Iterator[tuple[str, str, float]]:
    yield "service_processes", "Processes of the service.", len(usages)
    yield "process_threads", "Threads.", sum(usage.threads for usage in usages)
    yield "process_open_fds", "Open files.", sum(usage.open_fds for usage in usages)
    yield "process_max_fds", "Limit of open files.", sum(usage.max_fds for usage in usages)
    yield (
        "process_resident_memory_bytes",
        "Resident memory. Shared memory counts once for each process.",
        sum(usage.resident_bytes for usage in usages),
    )
    yield (
        "process_virtual_memory_bytes",
        "Virtual memory.",
        sum(usage.virtual_bytes for usage in usages),
    )


def _list_workers(root: int) -> list[int]:
    return _list_children(root) if root != os.getpid() else []


def _read_usages(root: int) -> Iterator[ProcessUsage]:
    """Yield the usage of *root* and its descendants. Skips processes that end meanwhile."""
    pending = [root] if sys.platform == "linux" else []
    while pending:
        pid = pending.pop()
        try:
            yield _read_usage(pid)
        except OSError:
            continue
        pending += _list_children(pid)


def _list_children(pid: int) -> list[int]:
    children: list[int] = []
    try:
        for thread in (_PROC / str(pid) / "task").iterdir():
            children += map(int, (thread / "children").read_text().split())
    except OSError:
        return children
    return children


def _read_usage(pid: int) -> ProcessUsage:
    folder = _PROC / str(pid)
    # The process name is in parentheses and may contain any character. The fields after it are
    # numbered from 3 in proc(5).
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    return ProcessUsage(
        pid=pid,
        cpu_seconds=sum(map(int, fields[11:15])) / ticks,
        threads=int(fields[17]),
        start_time_seconds=_read_boot_time() + int(fields[19]) / ticks,
        virtual_bytes=int(fields[20]),
        resident_bytes=int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
        open_fds=sum(1 for _ in (folder / "fd").iterdir()),
        max_fds=_read_max_fds(folder),
    )


def _read_max_fds(folder: Path) -> int:
    lines = (folder / "limits").read_text().splitlines()
    limit = next(line.removeprefix(_FD_LIMIT).split()[0] for line in lines if _FD_LIMIT in line)
    return int(limit) if limit.isdecimal() else sys.maxsize


def _read_boot_time() -> int:
    lines = (_PROC / "stat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("btime "))
