"""Connections that were opened before a gRPC server on demand had its process.

The supervisor listens while there is no process. gRPC for Python can neither receive an accepted
connection nor a listening socket, so the server listens at the same port (SO_REUSEPORT), and this
module copies the bytes of the connections that wait at the supervisor's socket. A filter directs
all later connections to the server's own socket.
"""

import ctypes
import logging
import select
import socket
import struct
import threading
from contextlib import suppress
from typing import Final

_log = logging.getLogger(__name__)
_SO_ATTACH_REUSEPORT_CBPF: Final = 51
# A classic BPF program of one instruction: return the constant 1 (BPF_RET | BPF_K). The kernel
# selects the socket with this index in the order in which the sockets began to listen: the
# supervisor's is 0. Without a socket 1 it selects one itself.
_SELECT_SECOND_SOCKET: Final = struct.pack("=HBBI", 0x06, 0, 0, 1)
_MAX_CONNECTIONS: Final = 64
_CHUNK_BYTES: Final = 65_536
_CONNECT_SECONDS: Final = 10.0
_STOP_CHECK_SECONDS: Final = 0.5


class ConnectionRelay:
    """Accepts the connections of *listener* and copies their bytes to the server at *target*.

    Args:
        target: loopback address and port of the gRPC server, which only this relay uses.
    """

    def __init__(self, listener: socket.socket, target: tuple[str, int]) -> None:
        self._listener = listener
        self._target = target
        # Addresses of clients by the port that the server sees as its peer's.
        self._clients: dict[int, str] = {}
        self._slots = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        self._stopped = threading.Event()

    def start(self) -> None:
        """Direct new connections to the server, and relay those that wait."""
        try:
            prefer_second_socket(self._listener)
        except OSError as error:
            # The kernel then distributes them over both sockets.
            _log.warning("connections of gRPC clients are relayed: %s", error.strerror)
        threading.Thread(target=self._accept_connections, name="relay", daemon=True).start()

    def stop(self) -> None:
        """Accept no further connection: they wait for the next process."""
        self._stopped.set()

    def get_client_address(self, peer_port: int) -> str | None:
        """Return the address of the client behind the peer with *peer_port*, or None."""
        return self._clients.get(peer_port)

    def _accept_connections(self) -> None:
        self._listener.setblocking(False)
        while not self._stopped.is_set():
            if not select.select([self._listener], [], [], _STOP_CHECK_SECONDS)[0]:
                continue
            if self._stopped.is_set() or not self._slots.acquire(timeout=_STOP_CHECK_SECONDS):
                continue
            try:
                client, address = self._listener.accept()
            except OSError:  # the client has closed the connection
                self._slots.release()
                continue
            # An IPv6 socket reports IPv4 clients with mapped addresses (RFC 4291, 2.5.5.2).
            host = str(address[0]).removeprefix("::ffff:")
            threading.Thread(
                target=self._relay, args=(client, host), name="relayed connection", daemon=True
            ).start()

    def _relay(self, client: socket.socket, address: str) -> None:
        try:
            with client, self._open_connection() as server:
                port = server.getsockname()[1]
                self._clients[port] = address
                try:
                    server.settimeout(_CONNECT_SECONDS)
                    server.connect(self._target)
                    _copy_both_ways(client, server)
                finally:
                    del self._clients[port]
        except OSError as error:
            _log.warning("a connection could not be relayed: %s", error)
        finally:
            self._slots.release()

    def _open_connection(self) -> socket.socket:
        """Return a socket with a port: the server may process a call before `connect` returns."""
        host = self._target[0]
        connection = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        connection.bind((host, 0))
        return connection


def prefer_second_socket(listener: socket.socket) -> None:
    """Direct new connections to the server that shares the port of *listener*, if there is one.

    Raises:
        OSError: the kernel does not support it.
    """
    instruction = ctypes.create_string_buffer(_SELECT_SECOND_SOCKET)
    # struct sock_fprog: number of instructions and their address, with the alignment of C.
    program = struct.pack("HP", 1, ctypes.addressof(instruction))
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, program)


def _copy_both_ways(client: socket.socket, server: socket.socket) -> None:
    """Copy bytes until both sides have closed the connection."""
    for connection in (client, server):
        connection.settimeout(None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    backward = threading.Thread(
        target=_copy_bytes, args=(server, client), name="relay", daemon=True
    )
    backward.start()
    _copy_bytes(client, server)
    backward.join()


def _copy_bytes(source: socket.socket, destination: socket.socket) -> None:
    try:
        while data := source.recv(_CHUNK_BYTES):
            destination.sendall(data)
    except OSError:
        # One side is gone: end the other direction, too.
        for connection in (source, destination):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
    else:
        with suppress(OSError):
            destination.shutdown(socket.SHUT_WR)
