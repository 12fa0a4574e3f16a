"""All tools of the agent: its own, and those of MCP servers and other services."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from backend.services.agent.model import Caller, Tool


class ToolSource(Protocol):
    """A remote source of tools."""

    async def list_tools(self, caller: Caller) -> Sequence[Tool]:
        """Return the tools that exist for *caller*; an unreachable source returns none."""


class Toolbox:
    """The agent's own tools and those of *sources*.

    Tools are not filtered by permission here: see `Tool.is_allowed_for`.
    """

    def __init__(self, own_tools: Sequence[Tool], sources: Sequence[ToolSource] = ()) -> None:
        self.own_tools = own_tools
        self._sources = sources

    async def get_tools(self, caller: Caller) -> dict[str, Tool]:
        """Return the tools for *caller* by name.

        If two tools have the same name, the agent's own tool or the first source wins.
        """
        listings = await asyncio.gather(*(source.list_tools(caller) for source in self._sources))
        tools = {tool.name: tool for tool in self.own_tools}
        for listing in listings:
            for tool in listing:
                tools.setdefault(tool.name, tool)
        return tools
