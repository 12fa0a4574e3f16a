"""The suite as an MCP server, called through the gateway with the official client."""

import asyncio

import pytest
import requests
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

from tests.suite.conftest import DATA

pytestmark = pytest.mark.suite


def test_official_client_calls_tools_with_an_api_key(suite, ada):
    document = ada.upload(DATA / "multi_page.pdf")
    created = ada("POST", "/auth/api-keys", json={"name": "mcp"})

    async def call_tools():
        headers = {"Authorization": f"Bearer {created.json()['key']}"}
        async with (
            create_mcp_http_client(headers=headers) as http,
            streamable_http_client(f"{suite.url}/agent/mcp", http_client=http) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            listed = await session.list_tools()
            found = await session.call_tool("list_documents", {})
            read = await session.call_tool("read_document", {"document_id": document["id"]})
            return {tool.name for tool in listed.tools}, found, read

    names, found, read = asyncio.run(call_tools())

    assert {"search_documents", "read_document", "list_documents", "calculate"} <= names
    assert document["id"] in found.content[0].text
    assert read.content[0].text.startswith("Part 1 of ")
    assert read.structuredContent["passages"]


def test_client_of_the_2026_protocol_needs_no_initialisation(suite, ada):
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": "calculate", "arguments": {"expression": "6 * 7"}, "_meta": meta}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {
        "Mcp-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": "calculate",
    }

    response = ada("POST", "/agent/mcp", json=body, headers=headers).json()

    assert response["result"]["content"][0]["text"] == "6 * 7 = 42"


def test_missing_token_returns_401_with_www_authenticate(suite):
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}

    response = requests.post(f"{suite.url}/agent/mcp", json=body, timeout=10)

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_get_and_delete_return_405_because_the_server_is_stateless(suite, ada, method):
    assert ada(method, "/agent/mcp").status_code == 405
