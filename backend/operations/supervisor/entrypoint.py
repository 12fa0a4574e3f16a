"""Detect what a container serves and where, so that its health check needs no argument."""

import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from backend.chassis.catalog import CATALOG, COMPANIONS
from backend.chassis.console import CommandError
from backend.chassis.service_description import Companion, Service

_COMMAND = Path("/proc/1/cmdline")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
# Names of services in the systems that the suite replaces (docs/compatibility.md).
REPLACED_NAMES = {
    "api-gateway": "gateway",
    "package-service": "packages",
    "ai-agent-service": "agent",
    "websocket-service": "realtime",
}


def find_program(name: str) -> Service | Companion | None:
    """Return the service or companion *name*, such as `auth` or `auth-service`, or None."""
    known: tuple[Service | Companion, ...] = (*CATALOG, *COMPANIONS)
    short_name = REPLACED_NAMES.get(name) or name.removesuffix("-service")
    return next((entry for entry in known if entry.name in (name, short_name)), None)


def find_served_program(default: str, command: Path = _COMMAND) -> Service | Companion:
    """Return the service or companion that process 1 runs.

    Args:
        default: name of the service that `serve` runs without a name.

    Raises:
        CommandError: process 1 runs none.
    """
    arguments = _read_arguments(command)
    entry = _find_serve_argument(arguments, default) or _find_companion(arguments)
    if entry is None:
        raise CommandError("Name a service: process 1 does not serve one.")
    return entry


def read_command_variables(command: Path = _COMMAND) -> dict[str, str]:
    """Return the variables that process 1 sets with `env NAME=VALUE … PROGRAM`.

    They apply to the program and not to other commands in the container, such as health checks.
    """
    arguments = _read_arguments(command)
    if "env" not in arguments:
        return {}
    following = arguments[arguments.index("env") + 1 :]
    assignments = takewhile(_ASSIGNMENT.match, following)
    return {name: value for name, _, value in (text.partition("=") for text in assignments)}


def _read_arguments(command: Path) -> list[str]:
    arguments = command.read_text("utf-8").split("\0") if command.exists() else []
    while arguments and not arguments[-1]:
        arguments.pop()
    return arguments


def _find_serve_argument(arguments: Sequence[str], default: str) -> Service | Companion | None:
    if "serve" not in arguments:
        return None
    names = arguments[arguments.index("serve") + 1 :]
    return find_program(names[0] if names else default)


def _find_companion(arguments: Sequence[str]) -> Companion | None:
    """Return the companion whose program replaced the serve command (exec)."""
    for entry in COMPANIONS:
        module = entry.arguments[entry.arguments.index("-m") + 1]
        if module in arguments:
            return entry
    return None
