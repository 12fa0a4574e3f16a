"""Cached list of the tools of one remote source."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from backend.services.agent.model import Tool

_log = logging.getLogger(__name__)

_REFRESH_SECONDS: Final = 60.0
_RETRY_SECONDS: Final = 15.0
_TIMEOUT_SECONDS: Final = 5.0


class ToolListing:
    """The tools of one source, refreshed once a minute.

    While the source does not respond, the last known tools stay listed. A call of such a tool fails
    with an error message, and the agent still answers.
    """

    def __init__(self, name: str, request_tools: Callable[[], Awaitable[Sequence[Tool]]]) -> None:
        self._name = name
        self._request_tools = request_tools
        self._tools: Sequence[Tool] = ()
        self._next_refresh = 0.0
        self._refresh: asyncio.Task[None] | None = None

    async def get_tools(self) -> Sequence[Tool]:
        """Return the cached tools and refresh them in the background when they are due.

        Callers wait only for the first refresh.
        """
        is_first = self._next_refresh == 0.0
        if time.monotonic() >= self._next_refresh and self._refresh is None:
            self._refresh = asyncio.create_task(self._refresh_tools())
        if is_first and self._refresh is not None:
            # shield: the cancellation of one caller must not cancel the refresh of the others.
            await asyncio.shield(self._refresh)
        return self._tools

    async def _refresh_tools(self) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                self._tools = await self._request_tools()
            delay = _REFRESH_SECONDS
        except Exception as error:  # noqa: BLE001 - the agent works without this source
            _log.warning("cannot list the tools of %s: %s", self._name, get_root_cause_name(error))
            delay = _RETRY_SECONDS
        finally:
            self._refresh = None
        self._next_refresh = time.monotonic() + delay


def get_root_cause_name(error: BaseException) -> str:
    """Return the class name of the first cause. Its message is untrusted text from the source."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return type(error).__name__
