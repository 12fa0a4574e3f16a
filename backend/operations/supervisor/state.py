"""The run folder: state of the supervisor and the lock that prevents a second one."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from backend.chassis.console import CommandError
from backend.chassis.files import FileLockedError, is_locked, open_locked, write_file
from backend.operations.supervisor.processes.spawn import ProcessIdentity


@dataclass(frozen=True, slots=True)
class RunningProgram:
    """A program as `status` shows it. The fields are the JSON format of state.json.

    Attributes:
        process: None for a program on demand that has no process now.
    """

    name: str
    process: ProcessIdentity | None
    url: str
    log: str
    since: float
    restarts: int = 0
    probe_url: str | None = None


@dataclass(frozen=True, slots=True)
class SupervisorState:
    """The last state written by the supervisor (state.json)."""

    supervisor: ProcessIdentity
    ready: bool = False
    arguments: list[str] = field(default_factory=list)
    gateway_url: str | None = None
    programs: list[RunningProgram] = field(default_factory=list)

    @property
    def processes(self) -> list[ProcessIdentity]:
        """Processes of the programs; they may have ended."""
        return [program.process for program in self.programs if program.process is not None]

    @property
    def ports(self) -> set[int]:
        """Ports of the running programs."""
        return {port for program in self.programs if (port := urlsplit(program.url).port)}

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        try:
            raw: dict[str, Any] = json.loads(_state_file(folder).read_text("utf-8"))
            programs = [
                RunningProgram(**{**entry, "process": _read_identity(entry["process"])})
                for entry in raw.pop("programs")
            ]
            return cls(
                **{**raw, "supervisor": ProcessIdentity(**raw["supervisor"]), "programs": programs}
            )
        except FileNotFoundError:
            return None
        except (
            ValueError,
            KeyError,
            TypeError,
        ):  # written by another version, or truncated by a full disk
            return None

    def write(self, folder: Path) -> None:
        write_private(_state_file(folder), json.dumps(asdict(self), indent=1))


def _read_identity(fields: dict[str, Any] | None) -> ProcessIdentity | None:
    return None if fields is None else ProcessIdentity(**fields)


def delete_state(folder: Path) -> None:
    _state_file(folder).unlink(missing_ok=True)


def create_private_folder(folder: Path) -> Path:
    """Create *folder* with access for its owner only."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def write_private(path: Path, text: str) -> None:
    """Write *text* atomically and durably, readable by its owner only."""
    write_file(path, text.encode())


@contextmanager
def sole_supervisor(data: Path) -> Iterator[None]:
    """Hold the lock of the data folder. The kernel releases it when this process ends."""
    folder = create_private_folder(create_private_folder(data) / "run")
    try:
        descriptor = open_locked(folder / "lock", blocking=False)
    except FileLockedError:
        state = SupervisorState.read(folder)
        by = f" (pid {state.supervisor.pid})" if state else ""
        raise CommandError(
            f"The services of {data} are already running{by}. "
            "Stop them with ./start_microservices.sh stop, or use restart."
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


def is_supervised(folder: Path) -> bool:
    """Return whether a supervisor currently holds the lock."""
    return is_locked(folder / "lock")


def format_age(since: float) -> str:
    seconds = int(time.time() - since)
    if seconds < 60:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


def _state_file(folder: Path) -> Path:
    return folder / "state.json"
