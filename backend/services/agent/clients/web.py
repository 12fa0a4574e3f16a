"""Fetch pages of the web that the operator allows: nothing is sent along, and little is read.

No cookies, no credentials, no proxy from the environment; each redirect is checked like the first
address, and the connection goes to the very address that was checked.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from email.message import Message
from typing import Any, Final
from urllib.parse import urljoin

import httpcore

from backend.chassis.observability.tracing import Kind, span
from backend.security.outbound import Destination, Outbound, OutboundRefused
from backend.services.agent.clients.pages import Page, read_html
from backend.services.agent.errors import ToolFailed, ToolRefused

_MOST_BYTES: Final = 2 * 1024 * 1024
_MOST_REDIRECTS: Final = 3
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_HTML: Final = frozenset({"text/html", "application/xhtml+xml"})
_TEXT: Final = frozenset({"application/json", "application/xml", "application/yaml"})
_SECONDS: Final = {"connect": 5.0, "read": 10.0, "write": 5.0, "pool": 5.0}
_HEADERS: Final = (
    (b"Accept", b"text/html, text/*;q=0.9, application/json;q=0.9, application/xml;q=0.8"),
    # Not squeezed: a small answer must not become a large one here.
    (b"Accept-Encoding", b"identity"),
    (b"User-Agent", b"ai-agent-system"),
)


class Web:
    """The web as far as *outbound* lets it be seen."""

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound

    async def fetch(self, url: str) -> Page:
        """The page at *url*, or behind its redirects; ToolRefused where it may not be called."""
        for _ in range(_MOST_REDIRECTS + 1):
            destination, addresses = await self._checked(url)
            # The host alone: an address may hold what its user keeps to themselves.
            asked = {"http.request.method": "GET", "server.address": destination.host}
            with span("GET", Kind.CLIENT, asked) as asking:
                async with _asked(destination, addresses) as response:
                    asking.set({"http.response.status_code": response.status})
                    moved = _moved(destination, response)
                    if moved is None:
                        return await _page(destination.url, response)
            url = moved
        raise ToolFailed("The page redirects too often.")

    async def _checked(self, url: str) -> tuple[Destination, Sequence[str]]:
        try:
            destination = self._outbound.destination(url)
            return destination, await asyncio.to_thread(self._outbound.addresses, destination)
        except OutboundRefused as error:
            raise ToolRefused("destination", str(error)) from error


class _Pinned(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were checked; whatever the host is called, nobody is asked."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - it was resolved when it was checked
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        failure: Exception = httpcore.ConnectError("no address")
        for address in self._addresses:
            try:
                return await self._network.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


@asynccontextmanager
async def _asked(
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
            httpcore.AsyncConnectionPool(network_backend=_Pinned(addresses)) as pool,
            pool.stream("GET", url, headers=headers, extensions={"timeout": _SECONDS}) as response,
        ):
            yield response
    except httpcore.TimeoutException as error:
        raise ToolFailed("The page took too long.") from error
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise ToolFailed("The page's server does not answer as it should.") from error


def _moved(destination: Destination, response: httpcore.Response) -> str | None:
    """Where *response* sends its reader, None if it does not."""
    location = _header(response, b"location")
    if response.status not in _REDIRECTS or not location:
        return None
    try:
        url = urljoin(destination.url, location)
    except ValueError as error:
        raise ToolFailed("The page redirects to no address.") from error
    if destination.scheme == "https" and not url.lower().startswith("https:"):
        raise ToolRefused("destination", "The page redirects to where nothing is encrypted.")
    return url


async def _page(url: str, response: httpcore.Response) -> Page:
    if response.status >= 300:
        raise ToolFailed(f"The page's server answered with the status {response.status}.")
    if _header(response, b"content-encoding") not in {"", "identity"}:
        raise ToolFailed("The page's server squeezed its answer, though it was asked not to.")
    described = Message()
    described["Content-Type"] = _header(response, b"content-type") or "text/plain"
    kind, charset = described.get_content_type(), described.get_content_charset()
    is_text = kind.startswith("text/") or kind in _TEXT or kind.endswith(("+json", "+xml"))
    if not is_text and kind not in _HTML:
        raise ToolFailed(f"The page is of the type {kind}, which cannot be read here.")
    content = await _beginning(response)
    if kind in _HTML:
        return await asyncio.to_thread(read_html, content, charset, url)
    try:
        return Page("", content.decode(charset or "utf-8", "replace"))
    except LookupError:
        return Page("", content.decode("utf-8", "replace"))


async def _beginning(response: httpcore.Response) -> bytes:
    """As much of the answer as is read; the rest is left where it is."""
    content = bytearray()
    async for chunk in response.aiter_stream():
        content += chunk
        if len(content) >= _MOST_BYTES:
            break
    return bytes(content[:_MOST_BYTES])


def _header(response: httpcore.Response, name: bytes) -> str:
    found = (value for key, value in response.headers if key.lower() == name)
    return next(found, b"").decode("latin-1").strip()
