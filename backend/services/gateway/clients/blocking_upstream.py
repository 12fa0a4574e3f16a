"""Send requests to services over a pool of blocking connections, streaming both bodies.

Used by the data path of Flask's development server.
"""

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
from backend.services.gateway.errors import (
    InvalidUpstreamResponse,
    UpstreamConnectFailed,
    UpstreamTimeout,
    UpstreamUnavailable,
)

_CONNECT_TIMEOUT_SECONDS = 1.0
_READ_BYTES = 64 * 1024
_MAX_CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """A request to a service; *length* is None for a chunked body."""

    service: str
    method: str
    target: str
    fields: Sequence[tuple[str, str]]
    body: Iterator[bytes] | None
    length: int | None
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class UpstreamResponse:
    """The response of a service; *body* yields its parts as they arrive."""

    status: int
    fields: Sequence[tuple[str, str]]
    body: Iterator[bytes]


class BlockingUpstreamPool:
    """Connection pools of all instances. Thread-safe."""

    def __init__(self) -> None:
        self._pools: dict[str, urllib3.HTTPConnectionPool] = {}

    def send_request(self, instance: Instance, request: UpstreamRequest) -> UpstreamResponse:
        """Send *request* to *instance* and return its response.

        Raises:
            UpstreamConnectFailed: no connection could be opened, so nothing was sent.
            UpstreamTimeout: no response within the timeout.
            InvalidUpstreamResponse: the response is malformed.
            UpstreamUnavailable: the connection was lost.
        """
        service = request.service
        try:
            response = self._get_pool(instance).urlopen(
                request.method,
                request.target,
                body=request.body,
                headers=_build_headers(request),
                chunked=request.body is not None and request.length is None,
                timeout=urllib3.Timeout(
                    connect=_CONNECT_TIMEOUT_SECONDS, read=request.timeout_seconds
                ),
                retries=False,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
                decode_content=False,
            )
        except (NewConnectionError, ConnectTimeoutError) as error:
            raise UpstreamConnectFailed(service) from error
        except ReadTimeoutError as error:
            raise UpstreamTimeout(service) from error
        except ProtocolError as error:
            if isinstance(error.args[-1], OSError):
                raise UpstreamUnavailable(service, "closed the connection") from error
            raise InvalidUpstreamResponse(service) from error
        except HTTPError as error:
            raise InvalidUpstreamResponse(service) from error
        if response.status < 200:
            # http.client returns an interim response other than 100 as if it were the final one.
            response.close()
            raise InvalidUpstreamResponse(service)
        fields = [(name, value) for name, value in response.headers.items()]
        return UpstreamResponse(response.status, fields, _iter_body(response))

    def _get_pool(self, instance: Instance) -> urllib3.HTTPConnectionPool:
        pool = self._pools.get(instance.endpoint)
        if pool is None:
            pool = urllib3.HTTPConnectionPool(
                instance.address, instance.port, maxsize=_MAX_CONNECTIONS
            )
            pool = self._pools.setdefault(instance.endpoint, pool)
        return pool


def _build_headers(request: UpstreamRequest) -> urllib3.HTTPHeaderDict:
    headers = urllib3.HTTPHeaderDict()
    for name, value in request.fields:
        headers.add(name, value)
    for name in ("Accept-Encoding", "User-Agent"):
        if name not in headers:
            headers[name] = SKIP_HEADER
    if request.length is not None:
        headers["Content-Length"] = str(request.length)
    return headers


def _iter_body(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """Yield the parts of the body as they arrive."""
    try:
        if response.chunked:
            yield from response.read_chunked(decode_content=False)
        else:
            while piece := response.read1(_READ_BYTES):
                yield piece
    finally:
        # A connection that was read to the end returns to the pool; one with unread bytes must
        # not.
        response.close()
