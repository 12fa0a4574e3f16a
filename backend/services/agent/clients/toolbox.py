"""Which tools there are: the suite's own, and those that others declare."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from backend.services.agent.clients.runs import Caller, Tool

_log = logging.getLogger(__name__)

_FRESH_SECONDS: Final = 60.0
_TRIED_AGAIN_SECONDS: Final = 15.0
_LISTING_SECONDS: Final = 5.0


class Source(Protocol):
    """Somewhere that tools come from."""

    async def tools(self, caller: Caller) -> Sequence[Tool]:
        """The tools that there are for *caller*; what is not reachable brings none."""


class Listing:
    """The tools of one source, asked for now and then.

    While it does not answer, those it had before are there still: a call of one then fails, and
    says so. The agent answers in any case.
    """

    def __init__(self, name: str, ask: Callable[[], Awaitable[Sequence[Tool]]]) -> None:
        self._name = name
        self._ask = ask
        self._tools: Sequence[Tool] = ()
        self._asked_again = 0.0
        self._asking: asyncio.Task[None] | None = None

    async def tools(self) -> Sequence[Tool]:
        """What there is, as of a minute ago; only the first who asks wait for an answer."""
        first = self._asked_again == 0.0
        if time.monotonic() >= self._asked_again and self._asking is None:
            self._asking = asyncio.create_task(self._look())
        if first and self._asking is not None:
            await asyncio.shield(self._asking)  # who leaves early leaves the others waiting
        return self._tools

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(_LISTING_SECONDS):
                self._tools = await self._ask()
            wait = _FRESH_SECONDS
        except Exception as error:  # noqa: BLE001 - whatever ails it, we do without
            _log.warning("%s brings no tools: %s", self._name, reason(error))
            wait = _TRIED_AGAIN_SECONDS
        finally:
            self._asking = None
        self._asked_again = time.monotonic() + wait


def reason(error: BaseException) -> str:
    """The first cause, without what somebody else may have written into it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return type(error).__name__


class Toolbox:
    """Every tool there is; whether a caller may use it, each tool says by itself."""

    def __init__(self, own: Sequence[Tool], sources: Sequence[Source] = ()) -> None:
        self._own = own
        self._sources = sources

    async def of(self, caller: Caller) -> dict[str, Tool]:
        """The tools for *caller* by name; of two with one name, the suite's own or the first."""
        found = await asyncio.gather(*(source.tools(caller) for source in self._sources))
        tools: dict[str, Tool] = {}
        for tool in (*self._own, *(each for some in found for each in some)):
            tools.setdefault(tool.name, tool)
        return tools
