"""Tools of MCP servers, tested with a real server that uses the official package."""

import json
import re
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from backend.chassis.settings import Env, SettingsError
from backend.services.agent.app import create_app
from backend.services.agent.clients.mcp_servers import McpServer
from backend.services.agent.settings import Settings
from tests.servers import free_port, process, wait_until
from tests.services.agent.fakes import Reply, WordEmbedder, post_query

SCRIPT = Path(__file__).with_name("weather_mcp_server.py")


@contextmanager
def run_weather_server(folder, port, *arguments):
    """Run the weather server on *port*."""
    command = [sys.executable, str(SCRIPT), str(port), *arguments]
    with process(command, folder / "mcp.log") as child:
        wait_until(lambda: _responds(port))
        yield child


def _responds(port):
    try:
        return requests.get(f"http://127.0.0.1:{port}/", timeout=1).status_code
    except requests.ConnectionError:
        return False


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    port = free_port()
    with run_weather_server(tmp_path_factory.mktemp("mcp"), port):
        yield f"http://127.0.0.1:{port}/mcp"


@pytest.fixture
def create_agent(scripted_settings, identities):
    """Return a function that creates a client of an agent with the MCP server *weather*."""

    def create(**server):
        servers = {"weather": McpServer(**{"timeout_seconds": 10.0, "trusted": True} | server)}
        settings = replace(scripted_settings, mcp_servers=servers)
        return identities.trust(create_app(settings, embedder=WordEmbedder())).test_client()

    return create


def list_tools(client, bearer):
    return {tool["name"]: tool for tool in client.get("/tools", headers=bearer).json["items"]}


def test_mcp_tools_are_listed_and_called(create_agent, url, model, ada):
    client = create_agent(url=url)
    model.queue_replies(
        Reply(calls=[("weather_forecast", {"city": "Bonn", "days": 2})]), Reply(text="Rain.")
    )

    tool = list_tools(client, ada)["weather_forecast"]
    answer = post_query(client, ada, "How will the weather be?").json

    assert tool["description"] == "The weather of a city."
    assert tool["parameters"]["required"] == ["city"]
    assert (tool["source"], tool["side_effects"]) == ("mcp:weather", False)
    assert [(step["tool"], step["status"]) for step in answer["steps"]] == [
        ("weather_forecast", "ok")
    ]
    content = model.requests[1]["messages"][-1]["content"]
    assert re.fullmatch(
        '<(result-[0-9a-f]{12}) from="weather">\nBonn: 2 days of rain.\n</\\1>', content
    )
    offered = {tool["function"]["name"] for tool in model.requests[0]["tools"]}
    assert {"weather_forecast", "search_documents"} <= offered


def test_error_of_an_mcp_tool_is_sent_to_the_model(create_agent, url, model, ada):
    model.queue_replies(Reply(calls=[("weather_fail", {})]), Reply(text="It is broken."))

    answer = post_query(create_agent(url=url), ada, "How is the pressure?").json

    assert answer["steps"][0]["status"] == "error"
    assert "The barometer is broken." in model.requests[1]["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ({"city": "Bonn", "token": "x"}, "refused", "token"),
        ({}, "error", "'city' is a required property"),
        ({"city": "Bonn", "days": "two"}, "error", "not of type 'integer'"),
    ],
)
def test_arguments_are_validated_before_the_call(
    create_agent, url, model, ada, arguments, status, message
):
    model.queue_replies(Reply(calls=[("weather_forecast", arguments)]), Reply(text="No."))

    answer = post_query(create_agent(url=url), ada, "How will the weather be?").json

    assert answer["steps"][0]["status"] == status
    assert message in model.requests[1]["messages"][-1]["content"]


def test_call_is_stopped_after_the_servers_timeout(create_agent, url, model, ada):
    model.queue_replies(Reply(calls=[("weather_slow", {})]), Reply(text="Too slow."))

    answer = post_query(create_agent(url=url, timeout_seconds=1.0), ada, "Slowly.").json

    assert answer["steps"][0]["status"] == "error"
    assert answer["steps"][0]["took_ms"] < 10_000


@pytest.mark.slow
@pytest.mark.parametrize(("megabytes", "status"), [(1, "ok"), (5, "error")])
def test_long_result_is_truncated_and_oversized_response_fails(
    create_agent, url, model, ada, megabytes, status
):
    model.queue_replies(
        Reply(calls=[("weather_huge", {"megabytes": megabytes})]), Reply(text="A lot.")
    )

    answer = post_query(create_agent(url=url), ada, "Say a lot.").json

    assert answer["steps"][0]["status"] == status
    assert len(model.requests[1]["messages"][-1]["content"]) < 17_000


def test_instructions_in_a_tool_result_are_not_followed(create_agent, url, model, rag_service, ada):
    rag_service.add_document("The vault code is 4711.", ada, id="doc_secret0001")
    model.queue_replies(
        Reply(calls=[("weather_orders", {})]),
        Reply(calls=[("read_document", {"document_id": "doc_secret0001"})]),
        Reply(text="I will not."),
    )

    answer = post_query(create_agent(url=url), ada, "What does the server say?").json

    assert [step["status"] for step in answer["steps"]] == ["ok", "refused"]
    assert model.requests[1]["messages"][-1]["content"].count("</result") == 1


def test_call_with_side_effects_runs_once_after_approval(create_agent, url, model, ada):
    client = create_agent(url=url)
    model.queue_replies(Reply(calls=[("weather_book", {"city": "Bonn"})]), Reply(text="Booked."))

    paused = post_query(client, ada, "Book a trip.").json
    answer = client.post(
        f"/sessions/{paused['session_id']}/resume", json={"decision": "approve"}, headers=ada
    ).json

    assert paused["waiting"][0]["arguments"] == {"city": "Bonn"}
    assert [step["status"] for step in answer["steps"]] == ["ok"]


@pytest.mark.parametrize(
    ("server", "has_side_effects"),
    [
        pytest.param({"trusted": False}, True, id="hint of an untrusted server is ignored"),
        pytest.param({"trusted": True}, False, id="hint of a trusted server is used"),
        pytest.param(
            {"trusted": False, "side_effects": {"forecast": False}},
            False,
            id="file declares no side effects",
        ),
        pytest.param(
            {"trusted": True, "side_effects": {"forecast": True}},
            True,
            id="file overrides the hint",
        ),
    ],
)
def test_side_effects_follow_the_file_then_a_trusted_servers_hint(
    create_agent, url, ada, server, has_side_effects
):
    assert (
        list_tools(create_agent(url=url, **server), ada)["weather_forecast"]["side_effects"]
        is has_side_effects
    )


def test_server_tools_are_hidden_and_refused_without_permission(
    create_agent, url, model, ada, identities
):
    client = create_agent(url=url, permissions=["system:read"], tools=["forecast"])
    admin = identities.bearer("user-admin", permissions=["agent:query", "system:read"])
    model.queue_replies(Reply(calls=[("weather_forecast", {"city": "Bonn"})]), Reply(text="No."))

    answer = post_query(client, ada, "How will the weather be?").json

    assert answer["steps"][0]["status"] == "refused"
    assert not any(name.startswith("weather") for name in list_tools(client, ada))
    assert {name for name in list_tools(client, admin) if name.startswith("weather")} == {
        "weather_forecast"
    }


def test_server_of_one_tenant_is_hidden_from_others(create_agent, url, ada, bob):
    client = create_agent(url=url, tenants=["tenant-of-user-ada"])

    assert "weather_forecast" in list_tools(client, ada)
    assert "weather_forecast" not in list_tools(client, bob)


def test_configured_header_is_sent_instead_of_the_callers(create_agent, url, model, ada):
    client = create_agent(url=url, headers={"Authorization": "Bearer of the file"})
    model.queue_replies(Reply(calls=[("weather_secret", {})]), Reply(text="Done."))

    post_query(client, ada, "Which header?")

    content = model.requests[1]["messages"][-1]["content"]
    assert "Bearer of the file" in content
    assert ada["Authorization"] not in content


@pytest.mark.slow
def test_json_responses_are_supported(create_agent, tmp_path, model, ada):
    model.queue_replies(Reply(calls=[("weather_forecast", {"city": "Bonn"})]), Reply(text="Rain."))
    port = free_port()

    with run_weather_server(tmp_path, port, "--json"):
        answer = post_query(
            create_agent(url=f"http://127.0.0.1:{port}/mcp"), ada, "The weather?"
        ).json

    assert [step["status"] for step in answer["steps"]] == ["ok"]


def test_agent_works_without_an_unreachable_server(create_agent, model, ada, tmp_path):
    port = free_port()
    client = create_agent(url=f"http://127.0.0.1:{port}/mcp")
    assert "weather_forecast" not in list_tools(client, ada)
    answer = post_query(client, ada, "What is 1 + 1?", model="embedded-lite").json
    assert answer["response"] == "1 + 1 = 2"

    client = create_agent(url=f"http://127.0.0.1:{port}/mcp")
    with run_weather_server(tmp_path, port):
        assert "weather_forecast" in list_tools(client, ada)
    model.queue_replies(
        Reply(calls=[("weather_forecast", {"city": "Bonn"})]), Reply(text="It is away.")
    )
    answer = post_query(client, ada, "How will the weather be?").json

    assert answer["steps"][0]["status"] == "error"
    assert "weather failed" in model.requests[-1]["messages"][-1]["content"]


def test_stdio_server_is_started_as_a_process(create_agent, model, ada):
    client = create_agent(command=sys.executable, args=[str(SCRIPT)])
    model.queue_replies(Reply(calls=[("weather_forecast", {"city": "Bonn"})]), Reply(text="Rain."))

    answer = post_query(client, ada, "How will the weather be?").json

    assert [step["status"] for step in answer["steps"]] == ["ok"]


def build_env(folder, servers, **variables):
    file = folder / "servers.json"
    file.write_text(servers if isinstance(servers, str) else json.dumps({"mcpServers": servers}))
    return Env({"DATA_DIR": str(folder), "MCP_SERVERS": str(file)} | variables)


def test_variables_in_the_file_are_expanded_and_not_shown_in_repr(tmp_path):
    server = {"url": "https://x.test/mcp", "headers": {"Authorization": "Bearer ${TOKEN}"}}

    settings = Settings.from_env(build_env(tmp_path, {"x": server}, TOKEN="t0ken"))

    assert settings.mcp_servers["x"].headers == {"Authorization": "Bearer t0ken"}
    assert "t0ken" not in repr(settings)


def test_mcp_json_in_the_data_folder_is_read_by_default(tmp_path):
    (tmp_path / "mcp.json").write_text('{"mcpServers": {"x": {"url": "https://x.test/mcp"}}}')

    settings = Settings.from_env(Env({"DATA_DIR": str(tmp_path)}))

    assert list(settings.mcp_servers) == ["x"]


@pytest.mark.parametrize(
    ("servers", "message"),
    [
        ("{", "JSON"),
        ("[]", "an object"),
        ({"x": {}}, "either a url or a command"),
        ({"x": {"url": "https://x.test", "command": "y"}}, "either a url or a command"),
        ({"x": {"url": "file:///etc/passwd"}}, "url"),
        ({"X y": {"url": "https://x.test"}}, "pattern"),
        ({"x": {"url": "https://x.test", "permisions": []}}, "permisions"),
        ({"x": {"url": "https://x.test", "permissions": ["root"]}}, "permissions"),
        ({"x": {"url": "https://x.test/${NO_SUCH}"}}, "NO_SUCH, which is not set"),
        ({"x": {"command": "weather"}}, "MCP_ALLOW_STDIO=true"),
    ],
)
def test_invalid_file_raises_settings_error(tmp_path, servers, message):
    with pytest.raises(SettingsError, match=message):
        Settings.from_env(build_env(tmp_path, servers))


def test_missing_file_raises_settings_error(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        Settings.from_env(Env({"DATA_DIR": str(tmp_path), "MCP_SERVERS": str(tmp_path / "none")}))


@pytest.mark.slow
def test_stdio_server_is_accepted_if_allowed(tmp_path):
    settings = Settings.from_env(
        build_env(tmp_path, {"x": {"command": "y"}}, MCP_ALLOW_STDIO="true")
    )

    assert settings.mcp_servers["x"].command == "y"
