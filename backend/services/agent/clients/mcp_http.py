"""The HTTP client for MCP servers: no proxy from the environment, and answers have an end."""

from collections.abc import AsyncIterator
from typing import Final

import httpx

_MOST_BYTES: Final = 4 * 1024 * 1024


def bounded_client(
    headers: dict[str, str] | None = None,
    timeout: httpx.Timeout | None = None,
    auth: httpx.Auth | None = None,
) -> httpx.AsyncClient:
    """A client that hangs up on an answer which is longer than anyone would read."""
    return httpx.AsyncClient(
        headers={"Accept-Encoding": "identity", **(headers or {})},
        timeout=timeout,
        auth=auth,
        trust_env=False,
        transport=_Bounded(),
    )


class _Bounded(httpx.AsyncHTTPTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if isinstance(response.stream, httpx.AsyncByteStream):
            response.stream = _Counted(response.stream)
        return response


class _Counted(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for chunk in self._stream:
            read += len(chunk)
            if read > _MOST_BYTES:
                raise httpx.ReadError("The answer is longer than is read.")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
