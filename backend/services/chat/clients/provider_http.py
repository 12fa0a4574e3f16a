"""HTTP calls to the channels' providers: checked hosts, bounded time and size, typed failures.

A failure says whether the provider can have received the request. Only a request that it has
certainly not received may be sent again without a look-up.
"""

import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Final

import httpcore

from backend.chassis.observability.tracing import SpanKind, start_as_current_span
from backend.security.outbound import (
    AllowedHost,
    Destination,
    OutboundBlocked,
    OutboundPolicy,
    Resolve,
    resolve_host,
)
from backend.security.outbound_connections import CheckedBackend, set_deadline

_MAX_RESPONSE_BYTES: Final = 1_048_576
_CONNECT_SECONDS: Final = 5.0
_MAX_CONNECTIONS: Final = 32
_KEEPALIVE_SECONDS: Final = 30.0


@cache
def _load_authorities() -> ssl.SSLContext:
    """Return a context with the system's certificate authorities, loaded at the first request."""
    return ssl.create_default_context()


class RequestNotSent(Exception):
    """The provider has received nothing: the connection failed or was not allowed.

    *is_blocked*: the address may not be called, which does not change by itself.
    """

    def __init__(self, message: str, *, is_blocked: bool = False) -> None:
        super().__init__(message)
        self.is_blocked = is_blocked


class OutcomeUnknown(Exception):
    """The request was sent at least in part, and there is no complete response."""


@dataclass(frozen=True, slots=True)
class _Headers:
    values: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str | None:
        return next((value for key, value in self.values if key == name.lower()), None)


@dataclass(frozen=True)
class ProviderResponse:
    """A response. Its content is empty if it was larger than the limit of the request."""

    status: int
    headers: _Headers
    content: bytes
    is_too_large: bool = False

    @cached_property
    def json(self) -> dict[str, Any]:
        """The body as a JSON object, {} if it is none."""
        try:
            value = json.loads(self.content)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def retry_after(self) -> float | None:
        """Seconds of the Retry-After header, or None."""
        text = self.headers.get("retry-after") or ""
        return min(float(text), 86_400.0) if text.isascii() and text.isdigit() else None


class ProviderHttp:
    """Sends requests to providers. Safe to share between threads.

    Args:
        private_hosts: hosts that the operator also allows at private addresses, for providers
            within the own network.
        timeout_seconds: limit for a whole request.
        resolve: resolver; tests pass their own.
    """

    def __init__(
        self,
        private_hosts: Sequence[AllowedHost] = (),
        *,
        timeout_seconds: float = 20.0,
        resolve: Resolve = resolve_host,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._resolve = resolve
        self._private = OutboundPolicy(private_hosts, resolve=resolve, public=lambda _address: True)
        self._any_public = OutboundPolicy([AllowedHost.parse("*")], resolve=resolve)

    @cached_property
    def _pool(self) -> httpcore.ConnectionPool:
        return httpcore.ConnectionPool(
            ssl_context=_load_authorities(),
            max_connections=_MAX_CONNECTIONS,
            keepalive_expiry=_KEEPALIVE_SECONDS,
            network_backend=CheckedBackend(self._resolve_addresses),
        )

    def send(
        self,
        method: str,
        url: str,
        allowed_hosts: Sequence[str],
        *,
        headers: Mapping[str, str] = {},
        body: bytes = b"",
        max_response_bytes: int = _MAX_RESPONSE_BYTES,
    ) -> ProviderResponse:
        """Send a request and return the response, whatever its status. Redirects are not followed.

        Args:
            allowed_hosts: the channel's hosts; `*` for a URL of a customer.
            max_response_bytes: of a larger response only status and headers are returned.

        Raises:
            RequestNotSent: the provider has received nothing.
            OutcomeUnknown: the provider can have received the request.
        """
        destination = self._check_url(url, allowed_hosts)
        set_deadline(self._timeout_seconds)
        # Record only the host: paths of some providers contain the token.
        attributes = {"http.request.method": method, "server.address": destination.host}
        with start_as_current_span(method, SpanKind.CLIENT, attributes) as span:
            response = self._exchange(method, destination, headers, body, max_response_bytes)
            span.set_attributes({"http.response.status_code": response.status})
            return response

    def is_private(self, url: str) -> bool:
        """Return whether *url* is at a host of the own network that the operator allows."""
        try:
            self._private.check_url(url)
        except OutboundBlocked:
            return False
        return True

    def close(self) -> None:
        """Close the idle connections."""
        if "_pool" in vars(self):
            self._pool.close()

    def _check_url(self, url: str, allowed_hosts: Sequence[str]) -> Destination:
        try:
            return self._private.check_url(url)
        except OutboundBlocked:
            pass
        try:
            policy = OutboundPolicy([AllowedHost.parse(host) for host in allowed_hosts])
            destination = policy.check_url(url)
        except OutboundBlocked as error:
            raise RequestNotSent(str(error), is_blocked=True) from error
        if destination.scheme != "https":
            raise RequestNotSent("Only https:// URLs can be called.", is_blocked=True)
        return destination

    def _resolve_addresses(self, host: str, port: int) -> Sequence[str]:
        destination = Destination("https", host, port, "/")
        for scheme in ("https", "http"):
            try:
                named = self._private.check_url(Destination(scheme, host, port, "/").url)
                return self._private.resolve_public_addresses(named)
            except OutboundBlocked:
                continue
        return self._any_public.resolve_public_addresses(destination)

    def _exchange(
        self,
        method: str,
        destination: Destination,
        headers: Mapping[str, str],
        body: bytes,
        max_response_bytes: int,
    ) -> ProviderResponse:
        url = httpcore.URL(
            scheme=destination.scheme.encode(),
            host=destination.host.encode(),
            port=destination.port,
            target=destination.target.encode(),
        )
        timeout = self._timeout_seconds
        timeouts = {"connect": _CONNECT_SECONDS, "read": timeout, "write": timeout, "pool": timeout}
        try:
            with self._pool.stream(
                method,
                url,
                headers=_build_headers(destination, headers, body),
                content=body or None,
                extensions={"timeout": timeouts},
            ) as response:
                content = _read_content(response, max_response_bytes)
        except (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.PoolTimeout) as error:
            raise RequestNotSent(f"{destination.host} accepts no connection.") from error
        except OutboundBlocked as error:
            raise RequestNotSent(str(error), is_blocked=True) from error
        except httpcore.TimeoutException as error:
            raise OutcomeUnknown(f"{destination.host} did not respond in time.") from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise OutcomeUnknown(f"{destination.host} closed the connection.") from error
        names = tuple(
            (key.decode().lower(), value.decode("latin-1")) for key, value in response.headers
        )
        if content is None:
            return ProviderResponse(response.status, _Headers(names), b"", is_too_large=True)
        return ProviderResponse(response.status, _Headers(names), content)


def _build_headers(
    destination: Destination, headers: Mapping[str, str], body: bytes
) -> list[tuple[bytes, bytes]]:
    all_headers = {
        "Host": destination.authority,
        "Accept": "application/json",
        # No compression: a small response could decompress to a very large one.
        "Accept-Encoding": "identity",
        "User-Agent": "ai-agent-system",
        "Content-Length": str(len(body)),
        **headers,
    }
    return [
        (key.encode(), value.encode("latin-1", "replace")) for key, value in all_headers.items()
    ]


def _read_content(response: httpcore.Response, max_bytes: int) -> bytes | None:
    """Return the body, or None if it is larger than *max_bytes*."""
    content = bytearray()
    for chunk in response.iter_stream():
        content += chunk
        if len(content) > max_bytes:
            # The provider has accepted or refused the request; the status says which.
            return None
    return bytes(content)
