"""Which tools there are: the suite's own, and those that others declare."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from backend.services.agent.clients.runs import Caller, Tool


class Source(Protocol):
    """Somewhere that tools come from."""

    async def tools(self, caller: Caller) -> Sequence[Tool]:
        """The tools that there are for *caller*; what is not reachable brings none."""


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
