"""GET requests to Clerk with checked addresses and limits on time and bytes."""

import json
import ssl
from collections.abc import Mapping
from functools import cache, cached_property
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore

from backend.security.outbound import (
    AllowedHost,
    Destination,
    OutboundBlocked,
    OutboundPolicy,
    Resolve,
    is_public,
    resolve_host,
)
from backend.security.outbound_connections import CheckedBackend, set_deadline
from backend.services.auth.errors import ProviderUnavailable

PROVIDER: Final = "Clerk"
_MAX_RESPONSE_BYTES: Final = 64 * 1024
# For a whole request. The gateway waits a little longer for the exchange of a token.
_TIMEOUT_SECONDS: Final = 3.0
_CONNECT_SECONDS: Final = 1.5


@cache
def _load_authorities() -> ssl.SSLContext:
    """Return a context with the system's certificate authorities, loaded at the first request."""
    return ssl.create_default_context()


def check_base_url(url: str) -> None:
    """Check that requests to *url*, and to paths below it, can be sent.

    Raises:
        ValueError: they cannot; the message says why.
    """
    if "#" in url:
        raise ValueError("A fragment cannot be requested.")
    try:
        OutboundPolicy([AllowedHost.parse(urlsplit(url).netloc)]).check_url(url)
    except OutboundBlocked as error:
        raise ValueError(str(error)) from error
    except ValueError:
        # Its message would contain a password.
        raise ValueError("Its host or port is invalid, or it contains a user name.") from None


class ClerkHttp:
    """Sends GET requests to one URL prefix. Redirects are not followed.

    Args:
        base_url: URL without a trailing slash.
        is_configured: True if the operator has set the URL, which may then be at a private address.
            Otherwise only public addresses are called.
        timeout_seconds: limit for a whole request.
    """

    def __init__(
        self,
        base_url: str,
        *,
        is_configured: bool,
        timeout_seconds: float = _TIMEOUT_SECONDS,
        resolve: Resolve = resolve_host,
    ) -> None:
        self._base_url = base_url
        self._timeout_seconds = timeout_seconds
        self._policy = OutboundPolicy(
            [AllowedHost.parse(urlsplit(base_url).netloc)],
            resolve=resolve,
            public=(lambda _address: True) if is_configured else is_public,
        )

    def get_json(self, path: str, headers: Mapping[str, str] = {}) -> tuple[int, dict[str, Any]]:
        """Return status and JSON object of the response; an empty object if it is not one.

        Args:
            path: appended to the base URL.

        Raises:
            ProviderUnavailable: the server does not respond in time, or sends too much.
        """
        set_deadline(self._timeout_seconds)
        try:
            status, content = self._get(path, headers)
        except (
            httpcore.NetworkError,
            httpcore.TimeoutException,
            httpcore.ProtocolError,
            OutboundBlocked,
        ) as error:
            raise ProviderUnavailable(PROVIDER) from error
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            document = None
        return status, document if isinstance(document, dict) else {}

    def _get(self, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        destination = self._policy.check_url(self._base_url + path)
        url = httpcore.URL(
            scheme=destination.scheme.encode(),
            host=destination.host.encode(),
            port=destination.port,
            target=destination.target.encode(),
        )
        all_headers = {
            "Host": destination.authority,
            "Accept": "application/json",
            # No compression: a small response could decompress to a very large one.
            "Accept-Encoding": "identity",
            "User-Agent": "ai-agent-system",
            **headers,
        }
        timeout = self._timeout_seconds
        timeouts = {
            "connect": _CONNECT_SECONDS,
            "read": timeout,
            "write": timeout,
            "pool": timeout,
        }
        with self._pool.stream(
            "GET",
            url,
            headers=[(name.encode(), value.encode()) for name, value in all_headers.items()],
            extensions={"timeout": timeouts},
        ) as response:
            content = bytearray()
            for chunk in response.iter_stream():
                content += chunk
                if len(content) > _MAX_RESPONSE_BYTES:
                    raise ProviderUnavailable(PROVIDER)
            return response.status, bytes(content)

    @cached_property
    def _pool(self) -> httpcore.ConnectionPool:
        return httpcore.ConnectionPool(
            ssl_context=_load_authorities() if self._base_url.startswith("https:") else None,
            max_connections=4,
            keepalive_expiry=5.0,
            network_backend=CheckedBackend(self._resolve_addresses),
        )

    def _resolve_addresses(self, host: str, port: int) -> list[str]:
        return self._policy.resolve_public_addresses(Destination("https", host, port, "/"))
