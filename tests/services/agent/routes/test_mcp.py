"""The suite's tools over the Model Context Protocol, seen by the official client and plain HTTP."""

import asyncio
import threading
from dataclasses import replace

import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from werkzeug.serving import make_server

from backend.services.agent.app import create_app
from tests.services.agent.stand_ins import WordEmbedder

MODERN = "2026-07-28"
META = "io.modelcontextprotocol/"
LEASE = "The notice period is three months."


@pytest.fixture
def served(app):
    """The agent on a port of its own."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/mcp"
    server.shutdown()
    thread.join()
    server.server_close()


def speak(url, bearer, conversation):
    """What *conversation* comes to, held in a session of the official client."""

    async def held():
        async with (
            create_mcp_http_client(headers=bearer) as http,
            streamable_http_client(url, http_client=http) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            begun = await session.initialize()
            return await conversation(session, begun)

    return asyncio.run(held())


def test_the_official_client_lists_and_calls_our_tools(served, shelf, ada):
    document = shelf.hold(LEASE, ada)

    async def conversation(session, begun):
        await session.send_ping()
        listed = await session.list_tools()
        found = await session.call_tool("search_documents", {"query": "notice period"})
        read = await session.call_tool("read_document", {"document_id": document.id})
        return begun, listed, found, read

    begun, listed, found, read = speak(served, ada, conversation)

    assert begun.protocolVersion == "2025-11-25"
    assert begun.serverInfo.name == "ai-agent-system"
    tools = {tool.name: tool for tool in listed.tools}
    assert tools["search_documents"].inputSchema["required"] == ["query"]
    assert tools["search_documents"].annotations.readOnlyHint is True
    assert tools["save_note"].annotations.readOnlyHint is False
    assert LEASE in found.content[0].text
    assert found.structuredContent["passages"][0]["document_id"] == document.id
    assert LEASE in read.content[0].text


def test_each_client_sees_what_is_its_users(served, shelf, ada, bob, identities):
    secret = shelf.hold(LEASE, ada)

    async def conversation(session, _):
        listed = await session.list_tools()
        found = await session.call_tool("read_document", {"document_id": secret.id})
        return {tool.name for tool in listed.tools}, found

    names, found = speak(served, bob, conversation)
    viewer = identities.bearer("user-vic", permissions=["rag:read", "agent:query"])

    assert found.isError
    assert LEASE not in found.content[0].text
    assert names - speak(served, viewer, conversation)[0] == {"save_note"}


def test_what_goes_wrong_in_a_tool_is_a_result(served, ada):
    async def conversation(session, _):
        return [
            await session.call_tool("calculate", {"expression": "1 / 0"}),
            await session.call_tool("calculate", {}),
            await session.call_tool("list_documents", {"owner_id": "user-bob"}),
        ]

    divided, missing, slipped_in = speak(served, ada, conversation)

    assert all(each.isError for each in (divided, missing, slipped_in))
    assert "divided by zero" in divided.content[0].text
    assert "expression: Field required" in missing.content[0].text
    assert "owner_id: Extra inputs" in slipped_in.content[0].text


def post(client, bearer, body, **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/mcp", json=body, headers=bearer | names)


def request(method, **params):
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}


def modern(method, **params):
    meta = {f"{META}protocolVersion": MODERN, f"{META}clientCapabilities": {}}
    return request(method, **params, _meta=meta)


HEADERS = {"Mcp_Protocol_Version": MODERN}


def test_a_modern_client_discovers_lists_and_calls_without_a_beginning(client, ada):
    discovered = post(
        client, ada, modern("server/discover"), **HEADERS, Mcp_Method="server/discover"
    )
    listed = post(client, ada, modern("tools/list"), **HEADERS, Mcp_Method="tools/list")
    called = post(
        client,
        ada,
        modern("tools/call", name="calculate", arguments={"expression": "6 * 7"}),
        **HEADERS,
        Mcp_Method="tools/call",
        Mcp_Name="calculate",
    )

    assert discovered.json["result"]["supportedVersions"] == [MODERN]
    assert "tools" in discovered.json["result"]["capabilities"]
    assert {"resultType": "complete", "cacheScope": "private"}.items() <= listed.json[
        "result"
    ].items()
    assert called.json["result"]["content"] == [{"type": "text", "text": "6 * 7 = 42"}]
    for answer in (discovered, listed, called):
        assert (answer.status_code, answer.json["id"]) == (200, 7)
        assert answer.json["result"]["_meta"][f"{META}serverInfo"]["name"] == "ai-agent-system"
    counted = 'gen_ai_execute_tool_duration_seconds_count{error_type="",'
    counted += 'gen_ai_operation_name="execute_tool",gen_ai_tool_name="calculate"} 1.0'
    assert counted in client.get("/metrics").text


CALL = modern("tools/call", name="calculate", arguments={"expression": "1"})


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        pytest.param(CALL, {"Mcp_Method": "tools/call"}, 400, -32_020, id="no name in the head"),
        pytest.param(
            CALL, {"Mcp_Method": "tools/list", "Mcp_Name": "calculate"}, 400, -32_020, id="method"
        ),
        pytest.param(
            CALL, {"Mcp_Method": "tools/call", "Mcp_Name": "save_note"}, 400, -32_020, id="name"
        ),
        pytest.param(
            modern("tools/list"),
            {"Mcp_Method": "tools/list", "Mcp_Protocol_Version": "2025-11-25"},
            400,
            -32_020,
            id="version",
        ),
        pytest.param(
            request("tools/list"), {"Mcp_Method": "tools/list"}, 400, -32_602, id="no meta"
        ),
        pytest.param(
            request("tools/list"), {"Mcp_Protocol_Version": "1999-01-01"}, 400, -32_022, id="era"
        ),
        pytest.param(modern("ping"), {"Mcp_Method": "ping"}, 404, -32_601, id="removed method"),
        pytest.param(
            modern("resources/list"), {"Mcp_Method": "resources/list"}, 404, -32_601, id="unknown"
        ),
    ],
)
def test_a_modern_request_must_say_the_same_everywhere(client, ada, body, headers, status, code):
    answer = post(client, ada, body, **(HEADERS | headers))

    assert (answer.status_code, answer.json["error"]["code"]) == (status, code)
    assert answer.json["id"] == 7


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        pytest.param(request("resources/list"), 200, -32_601, id="unknown method"),
        pytest.param(request("server/discover"), 200, -32_601, id="before its time"),
        pytest.param(request("tools/call", name="rm"), 200, -32_602, id="unknown tool"),
        pytest.param(request("tools/call"), 200, -32_602, id="no name"),
        pytest.param(
            request("tools/call", name="calculate", arguments=[]), 200, -32_602, id="no object"
        ),
        pytest.param({"jsonrpc": "2.0", "method": "tools/list"}, 400, -32_600, id="no id"),
        pytest.param({"jsonrpc": "1.0", "id": 1, "method": "ping"}, 400, -32_600, id="version"),
        pytest.param([request("ping")], 400, -32_600, id="batch"),
        pytest.param("ping", 400, -32_600, id="no object at all"),
    ],
)
def test_errors_are_json_rpc(client, ada, body, status, code):
    answer = post(client, ada, body)

    assert (answer.status_code, answer.json["error"]["code"]) == (status, code)
    assert answer.mimetype == "application/json"


def test_what_is_no_json_is_a_parse_error(client, ada):
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
def test_a_notification_is_accepted_without_a_word(client, ada, body):
    answer = post(client, ada, body)

    assert (answer.status_code, answer.data) == (202, b"")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_there_are_no_streams_and_no_sessions(client, ada, method):
    answer = client.open("/mcp", method=method, headers=ada)

    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]


def test_who_shows_no_token_is_told_how(client):
    answer = post(client, {}, request("tools/list"))

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json["jsonrpc"] == "2.0"
    assert answer.json["error"]["data"]["code"] == "not_authenticated"


def test_who_may_not_ask_the_agent_may_not_ask_here(client, identities):
    bearer = identities.bearer(permissions=["rag:read"])

    assert post(client, bearer, request("tools/list")).status_code == 403


def test_a_page_must_be_allowed_to_speak(settings, identities, ada):
    settings = replace(settings, mcp_origins=frozenset({"https://tools.example.org"}))
    client = identities.trust(create_app(settings, embedder=WordEmbedder())).test_client()

    foreign = post(client, ada, request("ping"), Origin="https://evil.example.net")
    allowed = post(client, ada, request("ping"), Origin="https://tools.example.org")

    assert (foreign.status_code, foreign.json["error"]["data"]["code"]) == (403, "foreign_origin")
    assert allowed.json["result"] == {}
