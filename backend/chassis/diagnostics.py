"""What the doctor finds: what is wrong, why that matters, and what mends it."""

import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal
from urllib.parse import urlsplit

_CONNECT_SECONDS = 3.0
_DEFAULT_PORTS = {
    "http": 80,
    "https": 443,
    "redis": 6379,
    "rediss": 6379,
    "amqp": 5672,
    "amqps": 5671,
}

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be; an error keeps something from working."""

    level: Level
    # Which service or part it is about.
    about: str
    what: str
    why: str
    # A command, or what to set to what.
    mend: str

    def told(self) -> Mapping[str, str]:
        return asdict(self)


def error(about: str, what: str, why: str, mend: str) -> Finding:
    return Finding("error", about, what, why, mend)


def warning(about: str, what: str, why: str, mend: str) -> Finding:
    return Finding("warning", about, what, why, mend)


def connection_error(url: str, default_port: int | None = None) -> str | None:
    """Return why no TCP connection to the host of *url* can be opened, or None if one can.

    Args:
        default_port: used if *url* has no port; without it the default port of the URL's scheme.
    """
    parts = urlsplit(url)
    port = parts.port or default_port or _DEFAULT_PORTS.get(parts.scheme, 80)
    host = parts.hostname or "127.0.0.1"
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_SECONDS):
            return None
    except OSError as failure:
        return f"{host}:{port}: {failure.strerror or failure}"
