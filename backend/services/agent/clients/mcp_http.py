"""HTTP client for MCP servers: no proxy from the environment, bounded response size."""

from collections.abc import AsyncIterator
from typing import Final

import httpx

_MAX_RESPONSE_BYTES: Final = 4 * 1024 * 1024


def create_bounded_client(
    headers: dict[str, str] | None = None,
    timeout: httpx.Timeout | None = None,
    auth: httpx.Auth | None = None,
) -> httpx.AsyncClient:
    """Return a client that fails with ReadError once a response body exceeds the size limit."""
    return httpx.AsyncClient(
        # No compression: a small response could decompress to a very large one.
        headers={"Accept-Encoding": "identity", **(headers or {})},
        timeout=timeout,
        auth=auth,
        trust_env=False,
        transport=_BoundedTransport(),
    )


class _BoundedTransport(httpx.AsyncHTTPTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if isinstance(response.stream, httpx.AsyncByteStream):
            response.stream = _BoundedStream(response.stream)
        return response


class _BoundedStream(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        byte_count = 0
        async for chunk in self._stream:
            byte_count += len(chunk)
            if byte_count > _MAX_RESPONSE_BYTES:
                raise httpx.ReadError(f"The response exceeds {_MAX_RESPONSE_BYTES} bytes.")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
