"""Fetch web pages from the hosts that the operator allows.

Requests carry no cookies and no credentials and use no proxy from the environment. Every redirect
is checked like the first URL. The connection uses the IP address that was checked, so that a second
DNS answer cannot redirect the request (DNS rebinding).
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from email.message import Message
from typing import Any, Final
from urllib.parse import urljoin

import httpcore

from backend.ai.text.encodings import decode_text
from backend.ai.text.html import HtmlText, decode_html, extract_html_text
from backend.chassis.observability.tracing import SpanKind, start_as_current_span
from backend.security.outbound import Destination, OutboundBlocked, OutboundPolicy
from backend.services.agent.errors import ToolFailed, ToolRefused

_MAX_BYTES: Final = 2 * 1024 * 1024
_MAX_REDIRECTS: Final = 3
_REDIRECT_STATUSES: Final = frozenset({301, 302, 303, 307, 308})
_HTML_TYPES: Final = frozenset({"text/html", "application/xhtml+xml"})
_TEXT_TYPES: Final = frozenset({"application/json", "application/xml", "application/yaml"})
_TIMEOUT_SECONDS: Final = {"connect": 5.0, "read": 10.0, "write": 5.0, "pool": 5.0}
_HEADERS: Final = (
    (b"Accept", b"text/html, text/*;q=0.9, application/json;q=0.9, application/xml;q=0.8"),
    # No compression: a small response could decompress to a very large one.
    (b"Accept-Encoding", b"identity"),
    (b"User-Agent", b"ai-agent-system"),
)


class PageFetcher:
    """Fetches web pages within the limits of *outbound*, the operator's outbound policy."""

    def __init__(self, outbound: OutboundPolicy) -> None:
        self._outbound = outbound

    async def fetch_page(self, url: str) -> HtmlText:
        """Return the page at *url* and follow its redirects.

        Raises:
            ToolRefused: the policy does not allow *url* or one of the redirects.
            ToolFailed: the server fails, is too slow, or returns a type that is not text.
        """
        for _ in range(_MAX_REDIRECTS + 1):
            destination, addresses = await self._check_url(url)
            # Record only the host: path and query may contain private data.
            attributes = {"http.request.method": "GET", "server.address": destination.host}
            with start_as_current_span("GET", SpanKind.CLIENT, attributes) as span:
                async with _open_response(destination, addresses) as response:
                    span.set_attributes({"http.response.status_code": response.status})
                    redirect_url = _get_redirect_url(destination, response)
                    if redirect_url is None:
                        return await _read_page(destination.url, response)
            url = redirect_url
        raise ToolFailed("The page redirects too often.")

    async def _check_url(self, url: str) -> tuple[Destination, Sequence[str]]:
        try:
            destination = self._outbound.check_url(url)
            return destination, await asyncio.to_thread(
                self._outbound.resolve_public_addresses, destination
            )
        except OutboundBlocked as error:
            raise ToolRefused("destination", str(error)) from error


class _PinnedBackend(httpcore.AsyncNetworkBackend):
    """Connects to the given IP addresses without resolving the host name again."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - it was resolved when it was checked
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        last_error: Exception = httpcore.ConnectError("no address")
        for address in self._addresses:
            try:
                return await self._backend.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last_error = error
        raise last_error


@asynccontextmanager
async def _open_response(
    destination: Destination, addresses: Sequence[str]
) -> AsyncIterator[httpcore.Response]:
    url = httpcore.URL(
        scheme=destination.scheme.encode(),
        host=destination.host.encode(),
        port=destination.port,
        target=destination.target.encode(),
    )
    headers = [(b"Host", destination.authority.encode()), *_HEADERS]
    try:
        async with (
            httpcore.AsyncConnectionPool(network_backend=_PinnedBackend(addresses)) as pool,
            pool.stream(
                "GET", url, headers=headers, extensions={"timeout": _TIMEOUT_SECONDS}
            ) as response,
        ):
            yield response
    except httpcore.TimeoutException as error:
        raise ToolFailed("The page's server took too long to respond.") from error
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise ToolFailed("The connection to the page's server failed.") from error


def _get_redirect_url(destination: Destination, response: httpcore.Response) -> str | None:
    """Return the URL that *response* redirects to, or None if it does not redirect.

    Raises ToolRefused for a redirect from https to http.
    """
    location = _get_header(response, b"location")
    if response.status not in _REDIRECT_STATUSES or not location:
        return None
    try:
        url = urljoin(destination.url, location)
    except ValueError as error:
        raise ToolFailed("The page redirects to an invalid URL.") from error
    if destination.scheme == "https" and not url.lower().startswith("https:"):
        raise ToolRefused("destination", "The page redirects to an unencrypted URL.")
    return url


async def _read_page(url: str, response: httpcore.Response) -> HtmlText:
    if response.status >= 300:
        raise ToolFailed(f"The page's server responded with status {response.status}.")
    if _get_header(response, b"content-encoding") not in {"", "identity"}:
        raise ToolFailed(
            "The page's server sent a compressed response although none was requested."
        )
    headers = Message()
    headers["Content-Type"] = _get_header(response, b"content-type") or "text/plain"
    media_type, charset = headers.get_content_type(), headers.get_content_charset()
    is_text = (
        media_type.startswith("text/")
        or media_type in _TEXT_TYPES
        or media_type.endswith(("+json", "+xml"))
    )
    if not is_text and media_type not in _HTML_TYPES:
        raise ToolFailed(f"Pages of the type {media_type} are not supported.")
    content = await _read_content(response)
    if media_type in _HTML_TYPES:
        return await asyncio.to_thread(_parse_html, content, charset, url)
    return HtmlText("", await asyncio.to_thread(decode_text, content, charset))


def _parse_html(content: bytes, charset: str | None, url: str) -> HtmlText:
    return extract_html_text(decode_html(content, charset), base_url=url)


async def _read_content(response: httpcore.Response) -> bytes:
    """Return the first _MAX_BYTES of the body; the rest is not read."""
    content = bytearray()
    async for chunk in response.aiter_stream():
        content += chunk
        if len(content) >= _MAX_BYTES:
            break
    return bytes(content[:_MAX_BYTES])


def _get_header(response: httpcore.Response, name: bytes) -> str:
    values = (value for key, value in response.headers if key.lower() == name)
    return next(values, b"").decode("latin-1").strip()
