"""Tools of MCP servers: listed now and then, called one session at a time.

The packages take a second to import, so that happens in a thread, when a server is first asked.
"""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from backend.chassis.observability.tracing import Kind, Value, span
from backend.services.agent.clients.arguments import ForeignSchema
from backend.services.agent.clients.framing import framed
from backend.services.agent.clients.mcp_servers import McpServer
from backend.services.agent.clients.runs import Caller, Outcome, Setting, Tool
from backend.services.agent.clients.toolbox import Listing, reason
from backend.services.agent.errors import ToolFailed

if TYPE_CHECKING:
    from mcp import ClientSession
    from mcp.types import CallToolResult
    from mcp.types import Tool as Listed

_log = logging.getLogger(__name__)

_MOST_TOOLS: Final = 128
_LONGEST_NAME: Final = 64
_LONGEST_DESCRIPTION: Final = 2_000


class McpTools:
    """The tools of all servers."""

    def __init__(self, servers: Mapping[str, McpServer]) -> None:
        self._servers = [
            (server, Listing(f"MCP server {name}", _Server(name, server).tools))
            for name, server in servers.items()
        ]

    async def tools(self, caller: Caller) -> list[Tool]:
        """The tools that there are in the caller's tenant."""
        if self._servers:  # within the time that a listing may take, the import has no place
            await asyncio.to_thread(import_module, "langchain_mcp_adapters.sessions")
        found = await asyncio.gather(
            *(
                listing.tools()
                for server, listing in self._servers
                if server.tenants is None or caller.tenant_id in server.tenants
            )
        )
        return [tool for tools in found for tool in tools]


class _Server:
    """One server."""

    def __init__(self, name: str, server: McpServer) -> None:
        self._name = name
        self._server = server

    async def tools(self) -> list[Tool]:
        async with _session(self._server) as session:
            listed = await _all_tools(session)
        offered = self._server.tools
        wanted = [each for each in listed if offered is None or each.name in offered]
        return [tool for each in wanted if (tool := self._tool(each)) is not None]

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
            with span(f"tools/call {tool}", Kind.CLIENT, self._told(tool)):
                async with _session(self._server) as session:
                    result = await session.call_tool(tool, dict(arguments))
        except Exception as error:
            _log.warning("MCP server %s failed: %s", self._name, reason(error))
            raise ToolFailed(f"The server {self._name} does not answer as it should.") from error
        told = framed("result", _text(result), self._name)
        if result.isError:
            raise ToolFailed(told)
        return Outcome(told)

    def _told(self, tool: str) -> dict[str, Value]:
        told: dict[str, Value] = {
            "mcp.method.name": "tools/call",
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": tool,
            "mcp.server.name": self._name,
        }
        if self._server.url is None:
            return told | {"network.transport": "pipe"}
        return told | {"server.address": urlsplit(self._server.url).hostname or ""}


@asynccontextmanager
async def _session(server: McpServer) -> AsyncIterator["ClientSession"]:
    from langchain_mcp_adapters.sessions import (
        Connection,
        StdioConnection,
        StreamableHttpConnection,
        create_session,
    )

    from backend.services.agent.clients.mcp_http import bounded_client

    if server.url is not None:
        connection: Connection = StreamableHttpConnection(
            transport="streamable_http",
            url=server.url,
            headers=server.headers,
            timeout=server.timeout_seconds,
            sse_read_timeout=server.timeout_seconds,
            httpx_client_factory=bounded_client,
        )
    else:
        connection = StdioConnection(
            transport="stdio", command=server.command or "", args=server.args, env=server.env
        )
    async with create_session(connection) as session:
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
