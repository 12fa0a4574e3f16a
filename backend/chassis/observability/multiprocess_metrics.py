"""Aggregate Prometheus metrics of all gunicorn workers (multiprocess mode).

prometheus_client keeps values in memory-mapped files if an environment variable names a folder
for them. It reads the variable when it is imported, so the master must set it before any worker
imports the library.
"""

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from backend.chassis.files import lock_file

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_LOCK_FILE: Final = "lock"
# Takes the place of a process id in the names of the files with the sums of dead workers.
_DEAD_WORKERS: Final = "gone"
_master_pids: list[int] = []


class Collector(Protocol):
    """Object with a `collect` method that prometheus_client calls for metrics."""

    def collect(self) -> Iterator["Metric"]: ...


def enable_multiprocess_mode(folder: Path) -> None:
    """Empty *folder* and store the values of all workers in it. Call in the master before fork."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / _LOCK_FILE).touch()
    os.environ[_FOLDER_VARIABLE] = str(folder)


def get_multiprocess_folder() -> Path | None:
    """Return the folder with the values of all workers, or None in single-process mode."""
    folder = os.environ.get(_FOLDER_VARIABLE)
    return Path(folder) if folder else None


def register_worker(master_pid: int) -> None:
    """Report process metrics for the master and its children. Call in each worker."""
    _master_pids[:] = [master_pid]


def get_root_pid() -> int:
    """Return the id of the topmost process of this service: the master's, or this process's."""
    return _master_pids[0] if _master_pids else os.getpid()


def delete_multiprocess_folder(folder: Path) -> None:
    """Delete *folder*. Call in the master when it ends."""
    shutil.rmtree(folder, ignore_errors=True)


def merge_dead_worker(folder: Path, pid: int) -> None:
    """Add the counters of the worker *pid* to those of dead workers and delete its files.

    Call in the master. Without it, every restart of a worker would look like a counter reset.
    Gauges are dropped: a dead worker has no open requests or connections.
    """
    with lock_folder(folder, exclusive=True):
        for file in [*folder.glob(f"*_{pid}.db"), *folder.glob(f"*_{pid}-*.db")]:
            kind = file.name.partition("_")[0]
            if kind != "gauge":
                total = _open_file(folder / f"{kind}_{_DEAD_WORKERS}.db")
                dead = _open_file(file)
                for key, value, _ in dead.read_all_values():
                    total.write_value(key, total.read_value(key)[0] + value, 0.0)
                total.close()
                dead.close()
            file.unlink()


@contextmanager
def lock_folder(folder: Path, *, exclusive: bool) -> Iterator[None]:
    """Lock *folder*, so that no scrape sums values while a dead worker's files are merged.

    Args:
        exclusive: True for a merge, False for a scrape.
    """
    with lock_file(folder / _LOCK_FILE, exclusive=exclusive):
        yield


class MultiprocessExporter:
    """Writes the values of *collector* to the shared folder each time it is called.

    Gauges are summed over the workers. Of the gauges in *max_gauges* the maximum is reported: a
    flag is 1 as soon as one worker sets it.
    """

    def __init__(self, collector: Collector, folder: Path, max_gauges: Collection[str]) -> None:
        self._collector = collector
        self._folder = folder
        self._max_gauges = max_gauges
        self._files: dict[str, Any] = {}

    def __call__(self) -> None:
        from prometheus_client.mmap_dict import mmap_key

        for metric in self._collector.collect():
            file = self._get_file(metric)
            for name, labels, value in _to_file_samples(metric):
                key = mmap_key(metric.name, name, list(labels), list(labels.values()), "")
                file.write_value(key, value, 0.0)

    def close(self) -> None:
        for file in self._files.values():
            file.close()

    def _get_file(self, metric: "Metric") -> Any:
        kind = metric.type
        if kind == "gauge":
            kind = "gauge_livemax" if metric.name in self._max_gauges else "gauge_livesum"
        if kind not in self._files:
            self._files[kind] = _open_file(self._folder / f"{kind}_{os.getpid()}-own.db")
        return self._files[kind]


def _open_file(file: Path) -> Any:
    from prometheus_client.mmap_dict import MmapedDict

    return MmapedDict(str(file))  # type: ignore[no-untyped-call]


def _to_file_samples(metric: "Metric") -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield the samples of *metric* in the format of the files: buckets are not cumulative."""
    below = 0.0
    for sample in metric.samples:
        value = sample.value
        if sample.name.endswith("_count") and metric.type == "histogram":
            continue  # derived from the buckets
        if "le" in sample.labels:
            value, below = value - below, value
            if sample.labels["le"] == "+Inf":
                below = 0.0
        yield sample.name, sample.labels, value
