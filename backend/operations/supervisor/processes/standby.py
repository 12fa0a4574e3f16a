"""Sockets and pipes that start programs on demand, and responses to probes without a process.

As systemd's socket activation does, the supervisor listens in place of the program and passes the
listening sockets to its process. The program ends itself, with exit code 0, when it is idle.
"""

import select
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from backend.chassis.inherited_sockets import MAIN, PROBES
from backend.chassis.unix_sockets import bind_private_socket
from backend.chassis.wake_pipe import WakePipe
from backend.operations.supervisor.processes.readiness import LIVENESS_PATH

_BACKLOG = 128
# A client that sends nothing delays the other probes for this time.
_CLIENT_SECONDS = 1.0
_MAX_REQUEST_BYTES = 4096
_METRICS_PATH = "/metrics"


@dataclass(slots=True)
class Standby:
    """The wake-up pipe or the listening socket of one program, and the socket of its probes.

    Attributes:
        pipe: a program that services wake does not listen.
    """

    main: socket.socket | None = None
    pipe: WakePipe | None = None
    probes: socket.socket | None = None

    @property
    def source(self) -> int:
        """Descriptor that is readable when the program must be started."""
        awaited = self.pipe or self.main
        if awaited is None:
            raise ValueError("Nothing can start the program.")
        return awaited.fileno()

    @property
    def is_woken(self) -> bool:
        """True if a client waits, or a service has work."""
        readable = select.poll()
        readable.register(self.source, select.POLLIN)
        return bool(readable.poll(0))

    @property
    def descriptors(self) -> Mapping[str, int]:
        """Descriptors of the sockets that the process of the program inherits."""
        sockets = {MAIN: self.main, PROBES: self.probes}
        return {name: entry.fileno() for name, entry in sockets.items() if entry is not None}

    def close(self) -> None:
        for entry in (self.main, self.pipe, self.probes):
            if entry is not None:
                entry.close()


def listen_beside_grpc(host: str, port: int) -> socket.socket:
    """Return a listening socket whose port a gRPC server can share (SO_REUSEPORT).

    The kernel distributes connections only over sockets of one family. gRPC listens on IPv6
    sockets, also for IPv4 addresses, if the host has IPv6.

    Raises:
        OSError: the port cannot be bound.
    """
    is_ipv6 = ":" in host
    uses_ipv6_socket = is_ipv6 or _has_ipv6_loopback()
    listener = socket.socket(socket.AF_INET6 if uses_ipv6_socket else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if uses_ipv6_socket:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if uses_ipv6_socket and not is_ipv6:
            host = "::" if host == "0.0.0.0" else f"::ffff:{host}"  # noqa: S104 - HOST
        listener.bind((host, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def listen_for_probes(host: str, port: int) -> socket.socket:
    """Return a listening socket for probes. Raises OSError if the port cannot be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    listener.setblocking(False)
    return listener


def listen_on_private_socket(path: Path) -> socket.socket:
    """Return a listening Unix socket to which only this user can connect."""
    listener = bind_private_socket(path)
    listener.setblocking(False)
    return listener


def _has_ipv6_loopback() -> bool:
    with suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


@dataclass(slots=True)
class ProbeResponder:
    """Responds to probes and scrapes of programs that have no process, in one thread.

    Such a program is healthy and has no metrics.
    """

    _listeners: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _wakeup: tuple[socket.socket, socket.socket] | None = None

    def add(self, listener: socket.socket) -> None:
        with self._lock:
            self._listeners.add(listener)
            if self._wakeup is None:
                self._wakeup = socket.socketpair()
                threading.Thread(target=self._run, name="probes", daemon=True).start()
            self._wakeup[1].send(b".")

    def remove(self, listener: socket.socket) -> None:
        """Leave the connections of *listener* to the process of its program from now on."""
        with self._lock:
            self._listeners.discard(listener)
            if self._wakeup is not None:
                self._wakeup[1].send(b".")

    def _run(self) -> None:
        if self._wakeup is None:
            return
        changed = self._wakeup[0]
        while True:
            with self._lock:
                listeners = list(self._listeners)
            readable, _, _ = select.select([changed, *listeners], [], [])
            for source in readable:
                if source is changed:
                    changed.recv(_MAX_REQUEST_BYTES)
                else:
                    with suppress(OSError):
                        self._respond_to_client(source)

    def _respond_to_client(self, listener: socket.socket) -> None:
        with self._lock:
            if listener not in self._listeners:
                return
            connection, _ = listener.accept()
        with connection:
            connection.settimeout(_CLIENT_SECONDS)
            words = connection.recv(_MAX_REQUEST_BYTES).split()
            path = words[1].decode("latin-1") if len(words) > 1 else ""
            connection.sendall(_build_response(path))


def _build_response(path: str) -> bytes:
    status, body = "404 Not Found", ""
    if path in (LIVENESS_PATH, _METRICS_PATH):
        status, body = "200 OK", "healthy\n" if path == LIVENESS_PATH else ""
    return (
        f"HTTP/1.1 {status}\r\n"
        "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
        f"{body}"
    ).encode()
