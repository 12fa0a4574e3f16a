"""Findings of `doctor`: a problem, its consequence and the fix."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from backend.chassis.unix_sockets import connect_to_socket, parse_socket_url

_CONNECT_TIMEOUT_SECONDS = 3.0
_DEFAULT_PORTS = {
    "http": 80,
    "https": 443,
    "redis": 6379,
    "rediss": 6379,
    "amqp": 5672,
    "amqps": 5671,
    "kafka": 9092,
}

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem that `doctor` found.

    Attributes:
        level: "error" if something does not work, else "warning".
        component: service or part that has the problem.
        problem: what is wrong.
        consequence: what happens because of it.
        fix: a command to run or a setting to change.
        origin: where the setting that causes the problem is set, such as ".env, line 3"; "" if
            no setting does.
    """

    level: Level
    component: str
    problem: str
    consequence: str
    fix: str
    origin: str = ""

    def to_dict(self) -> Mapping[str, str]:
        """Return the finding as `doctor --json` prints it. The keys are a public interface."""
        return {
            "level": self.level,
            "about": self.component,
            "what": self.problem,
            "why": self.consequence,
            "mend": self.fix,
            **({"from": self.origin} if self.origin else {}),
        }


def error(component: str, problem: str, consequence: str, fix: str, origin: str = "") -> Finding:
    """Return a finding of level "error"."""
    return Finding("error", component, problem, consequence, fix, origin)


def warning(component: str, problem: str, consequence: str, fix: str) -> Finding:
    """Return a finding of level "warning"."""
    return Finding("warning", component, problem, consequence, fix)


def check_connection(url: str, default_port: int | None = None) -> str | None:
    """Return why no connection to the host of *url* can be opened, or None if one can.

    Args:
        url: a URL of a TCP server, or `unix:PATH`.
        default_port: used if *url* has no port. Without it, the default port of the URL's scheme.
    """
    if (path := parse_socket_url(url)) is not None:
        try:
            connect_to_socket(path, _CONNECT_TIMEOUT_SECONDS).close()
        except OSError as failure:
            return f"{path}: {failure.strerror or failure}"
        return None
    parts = urlsplit(url)
    port = parts.port or default_port or _DEFAULT_PORTS.get(parts.scheme, 80)
    host = parts.hostname or "127.0.0.1"
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT_SECONDS):
            return None
    except OSError as failure:
        return f"{host}:{port}: {failure.strerror or failure}"
