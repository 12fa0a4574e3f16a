"""Ask a service over a pool of blocking connections, streaming both ways."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)
from urllib3.util import SKIP_HEADER

from backend.services.gateway.clients.instances import Instance
from backend.services.gateway.errors import BadAnswer, UpstreamTimeout, UpstreamUnavailable

_CONNECT_SECONDS = 1.0
_PIECE = 64 * 1024
_CONNECTIONS = 32


class NotSent(UpstreamUnavailable):
    """No connection could be made: another instance may be asked."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as a service gets it; *length* is None for a body in chunks."""

    service: str
    method: str
    target: str
    fields: Sequence[tuple[str, str]]
    body: Iterator[bytes] | None
    length: int | None
    timeout: float


@dataclass(frozen=True, slots=True)
class Incoming:
    """A service's answer: the head, and the body as it comes."""

    status: int
    fields: Sequence[tuple[str, str]]
    body: Iterator[bytes]


class UpstreamPool:
    """Keeps connections to every instance. Safe to share between threads."""

    def __init__(self) -> None:
        self._pools: dict[str, urllib3.HTTPConnectionPool] = {}

    def send(self, instance: Instance, outgoing: Outgoing) -> Incoming:
        """The answer of *instance*; an error of ours where there is none."""
        service = outgoing.service
        try:
            response = self._pool(instance).urlopen(
                outgoing.method,
                outgoing.target,
                body=outgoing.body,
                headers=_headers(outgoing),
                chunked=outgoing.body is not None and outgoing.length is None,
                timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=outgoing.timeout),
                retries=False,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
                decode_content=False,
            )
        except (NewConnectionError, ConnectTimeoutError) as error:
            raise NotSent(service) from error
        except ReadTimeoutError as error:
            raise UpstreamTimeout(service) from error
        except ProtocolError as error:
            if isinstance(error.args[-1], OSError):
                raise UpstreamUnavailable(service, "broke off the connection") from error
            raise BadAnswer(service) from error
        except HTTPError as error:
            raise BadAnswer(service) from error
        if response.status < 200:
            # http.client takes every interim answer but 100 for the final one.
            response.close()
            raise BadAnswer(service)
        fields = [(name, value) for name, value in response.headers.items()]
        return Incoming(response.status, fields, _pieces(response))

    def _pool(self, instance: Instance) -> urllib3.HTTPConnectionPool:
        pool = self._pools.get(instance.place)
        if pool is None:
            pool = urllib3.HTTPConnectionPool(instance.address, instance.port, maxsize=_CONNECTIONS)
            pool = self._pools.setdefault(instance.place, pool)
        return pool


def _headers(outgoing: Outgoing) -> urllib3.HTTPHeaderDict:
    headers = urllib3.HTTPHeaderDict()
    for name, value in outgoing.fields:
        headers.add(name, value)
    for name in ("Accept-Encoding", "User-Agent"):
        if name not in headers:
            headers[name] = SKIP_HEADER
    if outgoing.length is not None:
        headers["Content-Length"] = str(outgoing.length)
    return headers


def _pieces(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """The body piece by piece, each as soon as it is there."""
    try:
        if response.chunked:
            yield from response.read_chunked(decode_content=False)
        else:
            while piece := response.read1(_PIECE):
                yield piece
    finally:
        # Read to the end it goes back to the pool; cut short it must not.
        response.close()
