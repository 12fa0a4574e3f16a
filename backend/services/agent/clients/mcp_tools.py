"""Tools of MCP servers. Each call opens its own MCP session.

The MCP packages take a second to import. They are imported in a thread when tools are first listed.
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

from backend.ai.prompt_framing import frame_untrusted_text
from backend.chassis.observability.tracing import AttributeValue, SpanKind, start_as_current_span
from backend.services.agent.clients.mcp_servers import McpServer
from backend.services.agent.clients.tool_arguments import JsonSchemaArguments
from backend.services.agent.clients.tool_listing import ToolListing, get_root_cause_name
from backend.services.agent.errors import ToolFailed
from backend.services.agent.model import Caller, Tool, ToolContext, ToolResult

if TYPE_CHECKING:
    from mcp import ClientSession
    from mcp.types import CallToolResult
    from mcp.types import Tool as McpTool

_log = logging.getLogger(__name__)

_MAX_TOOLS: Final = 128
_MAX_NAME_CHARACTERS: Final = 64
_MAX_DESCRIPTION_CHARACTERS: Final = 2_000


class McpTools:
    """The tools of all configured MCP servers."""

    def __init__(self, servers: Mapping[str, McpServer]) -> None:
        self._servers = [
            (server, ToolListing(f"MCP server {name}", _McpServerClient(name, server).list_tools))
            for name, server in servers.items()
        ]

    async def list_tools(self, caller: Caller) -> list[Tool]:
        """Return the tools of the servers that are configured for the caller's tenant."""
        if self._servers:
            # Import outside of the listing's time limit.
            await asyncio.to_thread(import_module, "langchain_mcp_adapters.sessions")
        listings = await asyncio.gather(
            *(
                listing.get_tools()
                for server, listing in self._servers
                if server.tenants is None or caller.tenant_id in server.tenants
            )
        )
        return [tool for listing in listings for tool in listing]


class _McpServerClient:
    """Lists and calls the tools of one server."""

    def __init__(self, name: str, server: McpServer) -> None:
        self._name = name
        self._server = server

    async def list_tools(self) -> list[Tool]:
        async with _open_session(self._server) as session:
            mcp_tools = await _list_all_tools(session)
        allowed = self._server.tools
        tools = [
            self._to_tool(mcp_tool)
            for mcp_tool in mcp_tools
            if allowed is None or mcp_tool.name in allowed
        ]
        return [tool for tool in tools if tool is not None]

    def _to_tool(self, mcp_tool: "McpTool") -> Tool | None:
        """Return *mcp_tool* as a Tool, or None if its input schema is invalid."""
        try:
            arguments = JsonSchemaArguments(mcp_tool.inputSchema)
        except ValueError as error:
            _log.warning("skipping MCP tool %s of %s: %s", mcp_tool.name, self._name, error)
            return None

        async def run(arguments: Mapping[str, Any], _: ToolContext) -> ToolResult:
            return await self._call_tool(mcp_tool.name, arguments)

        # The readOnlyHint is a claim of the server. Use it only if the administrator trusts the
        # server.
        annotations = mcp_tool.annotations
        is_read_only = (
            self._server.trusted and annotations is not None and annotations.readOnlyHint is True
        )
        return Tool(
            name=re.sub(r"[^A-Za-z0-9_-]", "_", f"{self._name}_{mcp_tool.name}")[
                :_MAX_NAME_CHARACTERS
            ],
            description=(mcp_tool.description or mcp_tool.name)[:_MAX_DESCRIPTION_CHARACTERS],
            arguments=arguments,
            run=run,
            side_effects=self._server.side_effects.get(mcp_tool.name, not is_read_only),
            permissions=frozenset(self._server.permissions),
            source=f"mcp:{self._name}",
            timeout=timedelta(seconds=self._server.timeout_seconds),
        )

    async def _call_tool(self, tool: str, arguments: Mapping[str, Any]) -> ToolResult:
        attributes = self._get_span_attributes(tool)
        try:
            with start_as_current_span(f"tools/call {tool}", SpanKind.CLIENT, attributes):
                async with _open_session(self._server) as session:
                    result = await session.call_tool(tool, dict(arguments))
        except Exception as error:  # the MCP client and its transports raise errors of any type
            _log.warning("MCP server %s failed: %s", self._name, get_root_cause_name(error))
            raise ToolFailed(f"The call of the MCP server {self._name} failed.") from error
        content = frame_untrusted_text("result", _get_text(result), {"from": self._name})
        if result.isError:
            raise ToolFailed(content)
        return ToolResult(content)

    def _get_span_attributes(self, tool: str) -> dict[str, AttributeValue]:
        attributes: dict[str, AttributeValue] = {
            "mcp.method.name": "tools/call",
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": tool,
            "mcp.server.name": self._name,
        }
        if self._server.url is None:
            return attributes | {"network.transport": "pipe"}
        return attributes | {"server.address": urlsplit(self._server.url).hostname or ""}


@asynccontextmanager
async def _open_session(server: McpServer) -> AsyncIterator["ClientSession"]:
    from langchain_mcp_adapters.sessions import (
        Connection,
        StdioConnection,
        StreamableHttpConnection,
        create_session,
    )

    from backend.services.agent.clients.mcp_http import create_bounded_client

    if server.url is not None:
        connection: Connection = StreamableHttpConnection(
            transport="streamable_http",
            url=server.url,
            headers=server.headers,
            timeout=server.timeout_seconds,
            sse_read_timeout=server.timeout_seconds,
            httpx_client_factory=create_bounded_client,
        )
    else:
        connection = StdioConnection(
            transport="stdio", command=server.command or "", args=server.args, env=server.env
        )
    async with create_session(connection) as session:
        await session.initialize()
        yield session


async def _list_all_tools(session: "ClientSession") -> Sequence["McpTool"]:
    """Return the tools of all pages, at most _MAX_TOOLS."""
    tools: list[McpTool] = []
    cursor: str | None = None
    while True:
        page = await session.list_tools(cursor)
        tools += page.tools
        cursor = page.nextCursor
        if not cursor or len(tools) >= _MAX_TOOLS:
            return tools[:_MAX_TOOLS]


def _get_text(result: "CallToolResult") -> str:
    """Return the text parts of *result*, or its structured content as JSON if there are none."""
    texts = []
    for part in result.content:
        text = getattr(part, "text", None) or getattr(getattr(part, "resource", None), "text", None)
        texts.append(text if text is not None else f"({part.type}, not supported)")
    if not texts and result.structuredContent is not None:
        return json.dumps(result.structuredContent, ensure_ascii=False)
    return "\n".join(texts) or "(empty result)"
