"""Tests of the MCP endpoint with the official client and plain HTTP."""

import asyncio
import threading
from dataclasses import replace

import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from werkzeug.serving import make_server

from backend.services.agent.app import create_app
from tests.metrics import read_metrics_page
from tests.services.agent.fakes import WordEmbedder

STATELESS_VERSION = "2026-07-28"
META_PREFIX = "io.modelcontextprotocol/"
LEASE = "The notice period is three months."


@pytest.fixture
def mcp_url(app):
    """URL of the MCP endpoint on a real port."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/mcp"
    server.shutdown()
    thread.join()
    server.server_close()


def run_client(url, bearer, conversation):
    """Run *conversation* in a session of the official client, and return its result."""

    async def run_session():
        async with (
            create_mcp_http_client(headers=bearer) as http,
            streamable_http_client(url, http_client=http) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            initialized = await session.initialize()
            return await conversation(session, initialized)

    return asyncio.run(run_session())


def test_official_client_lists_and_calls_tools(mcp_url, rag_service, ada):
    document = rag_service.add_document(LEASE, ada)

    async def conversation(session, initialized):
        await session.send_ping()
        listed = await session.list_tools()
        search = await session.call_tool("search_documents", {"query": "notice period"})
        read = await session.call_tool("read_document", {"document_id": document.id})
        return initialized, listed, search, read

    initialized, listed, search, read = run_client(mcp_url, ada, conversation)

    assert initialized.protocolVersion == "2025-11-25"
    assert initialized.serverInfo.name == "ai-agent-system"
    tools = {tool.name: tool for tool in listed.tools}
    assert tools["search_documents"].inputSchema["required"] == ["query"]
    assert tools["search_documents"].annotations.readOnlyHint is True
    assert tools["save_note"].annotations.readOnlyHint is False
    assert LEASE in search.content[0].text
    assert search.structuredContent["passages"][0]["document_id"] == document.id
    assert LEASE in read.content[0].text


def test_clients_see_only_data_and_tools_of_their_user(mcp_url, rag_service, ada, bob, identities):
    secret = rag_service.add_document(LEASE, ada)

    async def conversation(session, _):
        listed = await session.list_tools()
        read = await session.call_tool("read_document", {"document_id": secret.id})
        return {tool.name for tool in listed.tools}, read

    names, read = run_client(mcp_url, bob, conversation)
    viewer = identities.bearer("user-vic", permissions=["rag:read", "agent:query"])

    assert read.isError
    assert LEASE not in read.content[0].text
    assert names - run_client(mcp_url, viewer, conversation)[0] == {"save_note"}


def test_tool_failure_is_returned_as_result(mcp_url, ada):
    async def conversation(session, _):
        return [
            await session.call_tool("calculate", {"expression": "1 / 0"}),
            await session.call_tool("calculate", {}),
            await session.call_tool("list_documents", {"owner_id": "user-bob"}),
        ]

    division, missing, unknown = run_client(mcp_url, ada, conversation)

    assert all(result.isError for result in (division, missing, unknown))
    assert "Division by zero" in division.content[0].text
    assert "expression: Field required" in missing.content[0].text
    assert "owner_id: Extra inputs" in unknown.content[0].text


def post(client, bearer, body, **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/mcp", json=body, headers=bearer | names)


def create_request(method, **params):
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}


def create_stateless_request(method, **params):
    meta = {
        f"{META_PREFIX}protocolVersion": STATELESS_VERSION,
        f"{META_PREFIX}clientCapabilities": {},
    }
    return create_request(method, **params, _meta=meta)


HEADERS = {"Mcp_Protocol_Version": STATELESS_VERSION}


def test_stateless_client_discovers_lists_and_calls_tools_without_initialize(client, ada):
    discovered = post(
        client,
        ada,
        create_stateless_request("server/discover"),
        **HEADERS,
        Mcp_Method="server/discover",
    )
    listed = post(
        client,
        ada,
        create_stateless_request("tools/list"),
        **HEADERS,
        Mcp_Method="tools/list",
    )
    called = post(
        client,
        ada,
        create_stateless_request("tools/call", name="calculate", arguments={"expression": "6 * 7"}),
        **HEADERS,
        Mcp_Method="tools/call",
        Mcp_Name="calculate",
    )

    assert discovered.json["result"]["supportedVersions"] == [STATELESS_VERSION]
    assert "tools" in discovered.json["result"]["capabilities"]
    assert {"resultType": "complete", "cacheScope": "private"}.items() <= listed.json[
        "result"
    ].items()
    assert called.json["result"]["content"] == [{"type": "text", "text": "6 * 7 = 42"}]
    for response in (discovered, listed, called):
        assert (response.status_code, response.json["id"]) == (200, 7)
        assert (
            response.json["result"]["_meta"][f"{META_PREFIX}serverInfo"]["name"]
            == "ai-agent-system"
        )
    metric = 'gen_ai_execute_tool_duration_seconds_count{error_type="",'
    metric += 'gen_ai_operation_name="execute_tool",gen_ai_tool_name="calculate"} 1.0'
    assert metric in read_metrics_page(client)


CALL = create_stateless_request("tools/call", name="calculate", arguments={"expression": "1"})


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        pytest.param(CALL, {"Mcp_Method": "tools/call"}, 400, -32_020, id="no name header"),
        pytest.param(
            CALL, {"Mcp_Method": "tools/list", "Mcp_Name": "calculate"}, 400, -32_020, id="method"
        ),
        pytest.param(
            CALL, {"Mcp_Method": "tools/call", "Mcp_Name": "save_note"}, 400, -32_020, id="name"
        ),
        pytest.param(
            create_stateless_request("tools/list"),
            {"Mcp_Method": "tools/list", "Mcp_Protocol_Version": "2025-11-25"},
            400,
            -32_020,
            id="version",
        ),
        pytest.param(
            create_request("tools/list"), {"Mcp_Method": "tools/list"}, 400, -32_602, id="no meta"
        ),
        pytest.param(
            create_request("tools/list"),
            {"Mcp_Protocol_Version": "1999-01-01"},
            400,
            -32_022,
            id="unsupported version",
        ),
        pytest.param(
            create_stateless_request("ping"),
            {"Mcp_Method": "ping"},
            404,
            -32_601,
            id="removed method",
        ),
        pytest.param(
            create_stateless_request("resources/list"),
            {"Mcp_Method": "resources/list"},
            404,
            -32_601,
            id="unknown",
        ),
    ],
)
def test_stateless_request_is_rejected_if_headers_and_body_differ(
    client, ada, body, headers, status, code
):
    answer = post(client, ada, body, **(HEADERS | headers))

    assert (answer.status_code, answer.json["error"]["code"]) == (status, code)
    assert answer.json["id"] == 7


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        pytest.param(create_request("resources/list"), 200, -32_601, id="unknown method"),
        pytest.param(create_request("server/discover"), 200, -32_601, id="stateless method"),
        pytest.param(create_request("tools/call", name="rm"), 200, -32_602, id="unknown tool"),
        pytest.param(create_request("tools/call"), 200, -32_602, id="no name"),
        pytest.param(
            create_request("tools/call", name="calculate", arguments=[]),
            200,
            -32_602,
            id="arguments not an object",
        ),
        pytest.param({"jsonrpc": "2.0", "method": "tools/list"}, 400, -32_600, id="no id"),
        pytest.param({"jsonrpc": "1.0", "id": 1, "method": "ping"}, 400, -32_600, id="version"),
        pytest.param([create_request("ping")], 400, -32_600, id="batch"),
        pytest.param("ping", 400, -32_600, id="not an object"),
    ],
)
def test_invalid_requests_return_json_rpc_errors(client, ada, body, status, code):
    answer = post(client, ada, body)

    assert (answer.status_code, answer.json["error"]["code"]) == (status, code)
    assert answer.mimetype == "application/json"


def test_malformed_json_returns_parse_error(client, ada):
    answer = client.post("/mcp", data="{", content_type="application/json", headers=ada)

    assert (answer.status_code, answer.json["error"]["code"]) == (400, -32_700)


@pytest.mark.parametrize(
    "body",
    [
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}},
        {"jsonrpc": "2.0", "id": 1, "result": {}},
    ],
)
def test_notification_returns_202_with_empty_body(client, ada, body):
    answer = post(client, ada, body)

    assert (answer.status_code, answer.data) == (202, b"")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_get_and_delete_return_405(client, ada, method):
    answer = client.open("/mcp", method=method, headers=ada)

    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]


def test_missing_token_returns_401_with_www_authenticate(client):
    answer = post(client, {}, create_request("tools/list"))

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json["jsonrpc"] == "2.0"
    assert answer.json["error"]["data"]["code"] == "not_authenticated"


def test_missing_permission_returns_403(client, identities):
    bearer = identities.bearer(permissions=["rag:read"])

    assert post(client, bearer, create_request("tools/list")).status_code == 403


def test_web_page_of_unlisted_origin_is_rejected(settings, identities, ada):
    settings = replace(settings, allowed_mcp_origins=frozenset({"https://tools.example.org"}))
    client = identities.trust(create_app(settings, embedder=WordEmbedder())).test_client()

    foreign = post(client, ada, create_request("ping"), Origin="https://evil.example.net")
    allowed = post(client, ada, create_request("ping"), Origin="https://tools.example.org")

    assert (foreign.status_code, foreign.json["error"]["data"]["code"]) == (403, "foreign_origin")
    assert allowed.json["result"] == {}
