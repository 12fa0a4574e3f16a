"""Tools of MCP servers: listed now and then, called one session at a time.

The packages take a second to import, so that happens in a thread, when a server is first asked.
"""

import asyncio
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from backend.services.agent.clients.arguments import ForeignSchema
from backend.services.agent.clients.framing import framed
from backend.services.agent.clients.mcp_servers import McpServer
from backend.services.agent.clients.runs import Caller, Outcome, Setting, Tool
from backend.services.agent.errors import ToolFailed

if TYPE_CHECKING:
    from mcp import ClientSession
    from mcp.types import CallToolResult
    from mcp.types import Tool as Listed

_log = logging.getLogger(__name__)

_FRESH_SECONDS: Final = 60.0
_TRIED_AGAIN_SECONDS: Final = 15.0
_LISTING_SECONDS: Final = 5.0
_MOST_TOOLS: Final = 128
_LONGEST_NAME: Final = 64
_LONGEST_DESCRIPTION: Final = 2_000


class McpTools:
    """The tools of all servers; one that does not answer brings those it had before, or none."""

    def __init__(self, servers: Mapping[str, McpServer]) -> None:
        self._servers = [_Server(name, server) for name, server in servers.items()]

    async def tools(self, caller: Caller) -> list[Tool]:
        """The tools that there are in the caller's tenant."""
        found = await asyncio.gather(
            *(server.tools() for server in self._servers if server.serves(caller))
        )
        return [tool for tools in found for tool in tools]


class _Server:
    """One server and what it offered when it was last asked."""

    def __init__(self, name: str, server: McpServer) -> None:
        self._name = name
        self._server = server
        self._tools: list[Tool] = []
        self._asked_again = 0.0
        self._asking = asyncio.Lock()

    def serves(self, caller: Caller) -> bool:
        return self._server.tenants is None or caller.tenant_id in self._server.tenants

    async def tools(self) -> list[Tool]:
        async with self._asking:
            if time.monotonic() >= self._asked_again:
                await self._ask()
        return self._tools

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(_LISTING_SECONDS), _session(self._server) as session:
                listed = await _all_tools(session)
        except Exception as error:  # noqa: BLE001 - whatever ails it, the agent answers without it
            _log.warning("MCP server %s brings no tools: %s", self._name, _reason(error))
            self._asked_again = time.monotonic() + _TRIED_AGAIN_SECONDS
            return
        offered = self._server.tools
        wanted = [each for each in listed if offered is None or each.name in offered]
        self._tools = [tool for each in wanted if (tool := self._tool(each)) is not None]
        self._asked_again = time.monotonic() + _FRESH_SECONDS

    def _tool(self, listed: "Listed") -> Tool | None:
        try:
            arguments = ForeignSchema(listed.inputSchema)
        except ValueError as error:
            _log.warning("MCP tool %s of %s is left out: %s", listed.name, self._name, error)
            return None

        async def run(given: Mapping[str, Any], _: Setting) -> Outcome:
            return await self._call(listed.name, given)

        # What a server says of itself is believed only where the administrator trusts it.
        says_read_only = listed.annotations is not None and listed.annotations.readOnlyHint is True
        harmless = self._server.trusted and says_read_only
        return Tool(
            name=re.sub(r"[^A-Za-z0-9_-]", "_", f"{self._name}_{listed.name}")[:_LONGEST_NAME],
            description=(listed.description or listed.name)[:_LONGEST_DESCRIPTION],
            arguments=arguments,
            run=run,
            side_effects=self._server.side_effects.get(listed.name, not harmless),
            permissions=frozenset(self._server.permissions),
            source=f"mcp:{self._name}",
            time=timedelta(seconds=self._server.timeout_seconds),
        )

    async def _call(self, tool: str, arguments: Mapping[str, Any]) -> Outcome:
        try:
            async with _session(self._server) as session:
                result = await session.call_tool(tool, dict(arguments))
        except Exception as error:
            _log.warning("MCP server %s failed: %s", self._name, _reason(error))
            raise ToolFailed(f"The server {self._name} does not answer as it should.") from error
        told = framed("result", _text(result), self._name)
        if result.isError:
            raise ToolFailed(told)
        return Outcome(told)


@asynccontextmanager
async def _session(server: McpServer) -> AsyncIterator["ClientSession"]:
    sessions = await asyncio.to_thread(import_module, "langchain_mcp_adapters.sessions")
    http = await asyncio.to_thread(import_module, "backend.services.agent.clients.mcp_http")
    if server.url is not None:
        connection = {
            "transport": "streamable_http",
            "url": server.url,
            "headers": server.headers,
            "timeout": server.timeout_seconds,
            "sse_read_timeout": server.timeout_seconds,
            "httpx_client_factory": http.bounded_client,
        }
    else:
        connection = {
            "transport": "stdio",
            "command": server.command,
            "args": server.args,
            "env": server.env,
        }
    async with sessions.create_session(connection) as session:
        await session.initialize()
        yield session


async def _all_tools(session: "ClientSession") -> Sequence["Listed"]:
    found: list[Listed] = []
    cursor: str | None = None
    while True:
        page = await session.list_tools(cursor)
        found += page.tools
        cursor = page.nextCursor
        if not cursor or len(found) >= _MOST_TOOLS:
            return found[:_MOST_TOOLS]


def _text(result: "CallToolResult") -> str:
    """What a model can read of *result*: its texts, else its structure."""
    pieces = []
    for part in result.content:
        text = getattr(part, "text", None) or getattr(getattr(part, "resource", None), "text", None)
        pieces.append(text if text is not None else f"({part.type}, which cannot be shown)")
    if not pieces and result.structuredContent is not None:
        return json.dumps(result.structuredContent, ensure_ascii=False)
    return "\n".join(pieces) or "(nothing)"


def _reason(error: BaseException) -> str:
    """The first cause, without what a server may have written into it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return type(error).__name__
