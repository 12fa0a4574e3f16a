"""Connections of httpcore to checked addresses, with one time limit for a whole request."""

import ssl
import threading
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Any, Final

import httpcore


class _Remaining(threading.local):
    deadline: float = float("inf")


# Each thread sends one request at a time; its streams read the time that is left.
_remaining: Final = _Remaining()


def set_deadline(seconds: float) -> None:
    """Limit the time of the next request of this thread to *seconds*, from now on."""
    _remaining.deadline = monotonic() + seconds


class CheckedBackend(httpcore.NetworkBackend):
    """Resolves and checks a host at each connection, and connects to the checked addresses.

    Args:
        resolve_addresses: returns the addresses of a host and port, or raises OutboundBlocked.
    """

    def __init__(self, resolve_addresses: Callable[[str, int], Sequence[str]]) -> None:
        self._resolve_addresses = resolve_addresses
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        last_error: Exception = httpcore.ConnectError("no address")
        for address in self._resolve_addresses(host, port):
            try:
                stream = self._backend.connect_tcp(
                    address,
                    port,
                    _limit(timeout, httpcore.ConnectTimeout),
                    local_address,
                    socket_options,
                )
                return _DeadlineStream(stream)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last_error = error
        raise last_error


def _limit(timeout: float | None, error: type[httpcore.TimeoutException]) -> float:
    seconds = _remaining.deadline - monotonic()
    if seconds <= 0:
        raise error("deadline")
    return seconds if timeout is None else min(timeout, seconds)


class _DeadlineStream(httpcore.NetworkStream):
    """Limits all reads and writes of a request together, so that a slow sender cannot extend it."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _limit(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _limit(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        seconds = _limit(timeout, httpcore.ConnectTimeout)
        return _DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, seconds))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
