"""What a container serves, told from its first process: a health check need not be told."""

from collections.abc import Sequence
from pathlib import Path

from backend.chassis.catalog import CATALOG, COMPANIONS
from backend.chassis.console import CannotRun
from backend.chassis.service_description import Companion, Service

_COMMAND = Path("/proc/1/cmdline")


def served_here(command: Path = _COMMAND) -> Service | Companion:
    """The service or companion that the first process is."""
    words = command.read_text("utf-8").split("\0") if command.exists() else []
    entry = _named_in(words) or _run_by(words)
    if entry is None:
        raise CannotRun("Name a service: the first process here serves none.")
    return entry


def _named_in(words: Sequence[str]) -> Service | Companion | None:
    if "serve" not in words[:-1]:
        return None
    name = words[words.index("serve") + 1]
    known: tuple[Service | Companion, ...] = (*CATALOG, *COMPANIONS)
    return next((entry for entry in known if entry.name == name), None)


def _run_by(words: Sequence[str]) -> Companion | None:
    """A companion has become the program that its entry names."""
    for entry in COMPANIONS:
        module = entry.arguments[entry.arguments.index("-m") + 1]
        if module in words:
            return entry
    return None
