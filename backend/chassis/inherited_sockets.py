"""Listening sockets that the supervisor passes to the process of a program on demand.

The supervisor listens while the program has no process, so that connections wait in the kernel's
queue until its process accepts them. An environment variable has the descriptors by name.
"""

import socket
from collections.abc import Mapping

VARIABLE = "INHERITED_SOCKETS"
MAIN = "main"
"""The socket at which clients use the program."""
PROBES = "probes"
"""The socket of `/health/live` and `/metrics`."""


def format_descriptors(descriptors: Mapping[str, int]) -> str:
    """Return the value of the variable, such as `main=5,probes=6`."""
    return ",".join(f"{name}={descriptor}" for name, descriptor in descriptors.items())


def open_inherited_socket(text: str | None, name: str) -> socket.socket | None:
    """Return the socket *name* of the variable's value *text*, or None if it has none.

    Call it once for each name: the returned object owns the descriptor.
    """
    for entry in (text or "").split(","):
        entry_name, _, descriptor = entry.partition("=")
        if entry_name == name:
            return socket.socket(fileno=int(descriptor))
    return None
