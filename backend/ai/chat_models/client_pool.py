"""Several HTTP clients for many requests at the same time.

httpx looks at all connections of a client at each request and at the end of each response, and for
each idle one it counts all idle ones. With fifty connections that takes more time than the rest of
the request.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import httpx

_REQUESTS_PER_CLIENT: Final = 8
# Then the idle connections of a client are closed. The first client keeps its own.
_IDLE_SECONDS: Final = 10.0


class ClientPool:
    """Clients of one event loop, each for a few requests. They are created when needed."""

    def __init__(
        self, create_client: Callable[[], httpx.AsyncClient], idle_seconds: float = _IDLE_SECONDS
    ) -> None:
        self._create_client = create_client
        self._idle_seconds = idle_seconds
        self._clients: list[_PooledClient] = []
        # The event loop keeps weak references to its tasks only.
        self._closing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Number of open clients."""
        return len(self._clients)

    @contextmanager
    def use_client(self) -> Iterator[httpx.AsyncClient]:
        """Return a client for one request. The response must be closed within the block."""
        pooled = self._find_free_client()
        pooled.requests += 1
        try:
            yield pooled.client
        finally:
            pooled.requests -= 1
            if not pooled.requests and pooled in self._clients[1:]:
                loop = asyncio.get_running_loop()
                loop.call_later(self._idle_seconds, self._close_if_idle, pooled)

    async def aclose(self) -> None:
        """Close all clients."""
        while self._clients:
            await self._clients.pop().client.aclose()

    def _find_free_client(self) -> "_PooledClient":
        """Return the first client with few requests, so that its connections are used again."""
        for pooled in self._clients:
            if pooled.requests < _REQUESTS_PER_CLIENT:
                return pooled
        pooled = _PooledClient(self._create_client())
        self._clients.append(pooled)
        return pooled

    def _close_if_idle(self, pooled: "_PooledClient") -> None:
        if pooled.requests or pooled not in self._clients:
            return
        self._clients.remove(pooled)
        task = asyncio.get_running_loop().create_task(pooled.client.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


class _PooledClient:
    """A client and the number of its requests whose responses are not closed."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.requests = 0
