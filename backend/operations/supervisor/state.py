"""The run folder: who supervises, what was started, and the lock that keeps a second one out."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from backend.chassis.console import CannotRun
from backend.operations.supervisor.processes import Identity


@dataclass(frozen=True, slots=True)
class Started:
    """One program that runs, as `status` shows it."""

    name: str
    process: Identity
    url: str
    log: str
    since: float
    restarts: int = 0
    probe_url: str | None = None


@dataclass(frozen=True, slots=True)
class State:
    """What the supervisor wrote last."""

    supervisor: Identity
    ready: bool = False
    arguments: list[str] = field(default_factory=list)
    gateway_url: str | None = None
    programs: list[Started] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        try:
            raw: dict[str, Any] = json.loads(_file(folder).read_text("utf-8"))
            programs = [
                Started(**{**entry, "process": Identity(**entry["process"])})
                for entry in raw.pop("programs")
            ]
            return cls(**{**raw, "supervisor": Identity(**raw["supervisor"]), "programs": programs})
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):  # of another version, or cut short by a full disk
            return None

    def write(self, folder: Path) -> None:
        fresh = _file(folder).with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self), indent=1), "utf-8")
        fresh.replace(_file(folder))


def forget(folder: Path) -> None:
    _file(folder).unlink(missing_ok=True)


def private_folder(folder: Path) -> Path:
    """Make *folder*, for its owner's eyes alone."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def write_private(path: Path, text: str) -> None:
    """Put *text* there whole or not at all, readable by its owner only."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


@contextmanager
def sole_supervisor(data: Path) -> Iterator[None]:
    """Hold the data folder's lock. It falls with this process, however that ends."""
    folder = private_folder(private_folder(data) / "run")
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            state = State.read(folder)
            by = f" (pid {state.supervisor.pid})" if state else ""
            raise CannotRun(
                f"The services of {data} already run{by}. "
                "End them with ./start_microservices.sh stop, or use restart."
            ) from None
        yield
    finally:
        os.close(descriptor)


def is_supervised(folder: Path) -> bool:
    """Whether some supervisor holds the lock at this moment."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def age(since: float) -> str:
    seconds = int(time.time() - since)
    if seconds < 60:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


def _file(folder: Path) -> Path:
    return folder / "state.json"
