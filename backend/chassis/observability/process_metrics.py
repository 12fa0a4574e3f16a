"""What the processes of a service take of the machine, for Prometheus.

The names are those of https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics.
They count all processes of the service together: gunicorn's master, its workers and what these
have started. They are read when somebody asks, from /proc; elsewhere there are none.
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
from backend.chassis.observability.multiprocess_metrics import service_root

_PROC: Final = Path("/proc")
_FD_LIMIT: Final = "Max open files"


@dataclass(frozen=True, slots=True)
class Usage:
    """One process at one moment; times in seconds, memory in bytes."""

    pid: int
    cpu: float
    """With that of the children that it has waited for: what they used is not lost."""
    threads: int
    started: float
    virtual: int
    resident: int
    open_fds: int
    max_fds: int


class Build:
    """A collector that tells which build of *service* runs."""

    def __init__(self, service: str) -> None:
        self._told = {
            "service": service,
            "version": __version__,
            "python_version": platform.python_version(),
        }

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("service_build", "Which build runs.", value=self._told)


class Processes:
    """A collector of what the service's processes take."""

    def collect(self) -> Iterator[Metric]:
        root = service_root()
        usages = list(_usages(root))
        if not usages:
            return
        yield CounterMetricFamily(
            "process_cpu_seconds",
            "CPU time of all processes, also of those that have ended.",
            value=sum(each.cpu for each in usages),
        )
        for name, told, value in _sums(usages):
            yield GaugeMetricFamily(name, told, value=value)
        yield GaugeMetricFamily(
            "process_start_time_seconds",
            "When the service was started, in seconds since the epoch.",
            value=next((each.started for each in usages if each.pid == root), 0.0),
        )
        yield GaugeMetricFamily(
            "service_youngest_process_start_time_seconds",
            "When its youngest worker was started: it grows when one had to be replaced.",
            value=max(each.started for each in usages if each.pid in (root, *_workers(root))),
        )
        yield GaugeMetricFamily(
            "service_open_fds_ratio",
            "Open files of the process that has the most, by what it may open.",
            value=max(each.open_fds / each.max_fds for each in usages),
        )


def _sums(usages: list[Usage]) -> Iterator[tuple[str, str, float]]:
    yield "service_processes", "Processes of the service.", len(usages)
    yield "process_threads", "Threads.", sum(each.threads for each in usages)
    yield "process_open_fds", "Open files.", sum(each.open_fds for each in usages)
    yield "process_max_fds", "Files that may be open.", sum(each.max_fds for each in usages)
    yield (
        "process_resident_memory_bytes",
        "Memory; what processes share counts for each of them.",
        sum(each.resident for each in usages),
    )
    yield (
        "process_virtual_memory_bytes",
        "Address space.",
        sum(each.virtual for each in usages),
    )


def _workers(root: int) -> list[int]:
    return _children(root) if root != os.getpid() else []


def _usages(root: int) -> Iterator[Usage]:
    """Of *root* and all below it; who ends meanwhile is left out."""
    waiting = [root] if sys.platform == "linux" else []
    while waiting:
        pid = waiting.pop()
        try:
            yield _usage(pid)
        except OSError:
            continue
        waiting += _children(pid)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for thread in (_PROC / str(pid) / "task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    except OSError:
        return found
    return found


def _usage(pid: int) -> Usage:
    folder = _PROC / str(pid)
    # Behind the name, which may hold anything; the numbers are those of proc(5) from the third.
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    return Usage(
        pid=pid,
        cpu=sum(map(int, fields[11:15])) / ticks,
        threads=int(fields[17]),
        started=_booted() + int(fields[19]) / ticks,
        virtual=int(fields[20]),
        resident=int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
        open_fds=sum(1 for _ in (folder / "fd").iterdir()),
        max_fds=_max_fds(folder),
    )


def _max_fds(folder: Path) -> int:
    lines = (folder / "limits").read_text().splitlines()
    limit = next(line.removeprefix(_FD_LIMIT).split()[0] for line in lines if _FD_LIMIT in line)
    return int(limit) if limit.isdecimal() else sys.maxsize


def _booted() -> int:
    lines = (_PROC / "stat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("btime "))
