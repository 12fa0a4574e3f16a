"""The numbers of all workers of one service as one: each writes its own, whoever is asked adds up.

Prometheus' client keeps them in memory-mapped files once it finds a folder for them in the
environment, which it looks for when it is imported: so the master names the folder before
any worker has loaded anything.
"""

import fcntl
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
_LOCK: Final = "lock"
_GONE: Final = "gone"
_masters: list[int] = []


class Collector(Protocol):
    """What Prometheus' client asks for numbers that it does not keep itself."""

    def collect(self) -> Iterator["Metric"]: ...


def share_among_workers(folder: Path) -> None:
    """In the master, before it forks: let the workers' numbers meet in *folder*, emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / _LOCK).touch()
    os.environ[_FOLDER] = str(folder)


def shared_folder() -> Path | None:
    """Where the numbers of several workers meet; None in a process that counts for itself."""
    named = os.environ.get(_FOLDER)
    return Path(named) if named else None


def belong_to(master: int) -> None:
    """In a worker: *master* and all below it are the service, not this process alone."""
    _masters[:] = [master]


def service_root() -> int:
    """The process above all others of the service that this one belongs to."""
    return _masters[0] if _masters else os.getpid()


def forget_all(folder: Path) -> None:
    """In the master, when it ends."""
    shutil.rmtree(folder, ignore_errors=True)


def absorb(folder: Path, pid: int) -> None:
    """In the master: keep what the worker *pid* has counted, and let go of its files.

    Its counters go on in the sum, or every restart of a worker would look like a reset; what
    it held open it holds no more.
    """
    with locked(folder, fcntl.LOCK_EX):
        for file in [*folder.glob(f"*_{pid}.db"), *folder.glob(f"*_{pid}-*.db")]:
            kind = file.name.partition("_")[0]
            if kind != "gauge":
                kept, gone = _opened(folder / f"{kind}_{_GONE}.db"), _opened(file)
                for key, value, _ in gone.read_all_values():
                    kept.write_value(key, kept.read_value(key)[0] + value, 0.0)
                kept.close()
                gone.close()
            file.unlink()


@contextmanager
def locked(folder: Path, how: int) -> Iterator[None]:
    """Nobody adds up while the files of a dead worker are moved into the sum."""
    with (folder / _LOCK).open("wb") as lock:
        fcntl.flock(lock, how)
        yield


class Telling:
    """Tells the other workers the numbers that *collector* keeps, each time it is called.

    Gauges are added up, except *flags*: those are set as soon as one worker sets them.
    """

    def __init__(self, collector: Collector, folder: Path, flags: Collection[str]) -> None:
        self._collector = collector
        self._folder = folder
        self._flags = flags
        self._files: dict[str, Any] = {}

    def __call__(self) -> None:
        from prometheus_client.mmap_dict import mmap_key

        for metric in self._collector.collect():
            file = self._file(metric)
            for name, labels, value in _plain(metric):
                key = mmap_key(metric.name, name, list(labels), list(labels.values()), "")
                file.write_value(key, value, 0.0)

    def close(self) -> None:
        for file in self._files.values():
            file.close()

    def _file(self, metric: "Metric") -> Any:
        kind = metric.type
        if kind == "gauge":
            kind = "gauge_livemax" if metric.name in self._flags else "gauge_livesum"
        if kind not in self._files:
            self._files[kind] = _opened(self._folder / f"{kind}_{os.getpid()}-own.db")
        return self._files[kind]


def _opened(file: Path) -> Any:
    from prometheus_client.mmap_dict import MmapedDict

    return MmapedDict(str(file))  # type: ignore[no-untyped-call]


def _plain(metric: "Metric") -> Iterator[tuple[str, dict[str, str], float]]:
    """The samples of *metric* as the files hold them: each bucket without those below it."""
    below = 0.0
    for sample in metric.samples:
        value = sample.value
        if sample.name.endswith("_count") and metric.type == "histogram":
            continue  # the sum of the buckets
        if "le" in sample.labels:
            value, below = value - below, value
            if sample.labels["le"] == "+Inf":
                below = 0.0
        yield sample.name, sample.labels, value
