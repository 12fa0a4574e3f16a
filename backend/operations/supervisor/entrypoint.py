"""Detect the program that a container serves, so that its health check needs no argument."""

from collections.abc import Sequence
from pathlib import Path

from backend.chassis.catalog import CATALOG, COMPANIONS
from backend.chassis.console import CommandError
from backend.chassis.service_description import Companion, Service

_COMMAND = Path("/proc/1/cmdline")


def find_served_program(command: Path = _COMMAND) -> Service | Companion:
    """Return the service or companion that process 1 runs.

    Raises:
        CommandError: process 1 runs none.
    """
    arguments = command.read_text("utf-8").split("\0") if command.exists() else []
    entry = _find_serve_argument(arguments) or _find_companion(arguments)
    if entry is None:
        raise CommandError("Name a service: process 1 does not serve one.")
    return entry


def _find_serve_argument(arguments: Sequence[str]) -> Service | Companion | None:
    if "serve" not in arguments[:-1]:
        return None
    name = arguments[arguments.index("serve") + 1]
    known: tuple[Service | Companion, ...] = (*CATALOG, *COMPANIONS)
    return next((entry for entry in known if entry.name == name), None)


def _find_companion(arguments: Sequence[str]) -> Companion | None:
    """Return the companion whose program replaced the serve command (exec)."""
    for entry in COMPANIONS:
        module = entry.arguments[entry.arguments.index("-m") + 1]
        if module in arguments:
            return entry
    return None
