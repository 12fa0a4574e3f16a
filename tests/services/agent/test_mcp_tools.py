"""The agent uses the tools of MCP servers: of a real one, made with the official package."""

import json
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
from tests.services.agent.stand_ins import Reply, WordEmbedder, ask

SCRIPT = Path(__file__).with_name("mcp_server.py")


@contextmanager
def weather(folder, port, *arguments):
    """The weather server at *port*."""
    command = [sys.executable, str(SCRIPT), str(port), *arguments]
    with process(command, folder / "mcp.log") as child:
        wait_until(lambda: _answers(port))
        yield child


def _answers(port):
    try:
        return requests.get(f"http://127.0.0.1:{port}/", timeout=1).status_code
    except requests.ConnectionError:
        return False


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    port = free_port()
    with weather(tmp_path_factory.mktemp("mcp"), port):
        yield f"http://127.0.0.1:{port}/mcp"


@pytest.fixture
def agent(scripted_settings, identities):
    """Makes a client of an agent that knows the server *weather* as described."""

    def make(**server):
        servers = {"weather": McpServer(**{"timeout_seconds": 10.0, "trusted": True} | server)}
        settings = replace(scripted_settings, mcp_servers=servers)
        return identities.trust(create_app(settings, embedder=WordEmbedder())).test_client()

    return make


def listed(client, bearer):
    return {tool["name"]: tool for tool in client.get("/tools", headers=bearer).json["items"]}


def test_its_tools_are_listed_and_used(agent, url, model, ada):
    client = agent(url=url)
    model.will(
        Reply(calls=[("weather_forecast", {"city": "Bonn", "days": 2})]), Reply(text="Rain.")
    )

    tool = listed(client, ada)["weather_forecast"]
    answer = ask(client, ada, "How will the weather be?").json

    assert tool["description"] == "The weather of a city."
    assert tool["parameters"]["required"] == ["city"]
    assert (tool["source"], tool["side_effects"]) == ("mcp:weather", False)
    assert [(step["tool"], step["status"]) for step in answer["steps"]] == [
        ("weather_forecast", "ok")
    ]
    told = model.requests[1]["messages"][-1]["content"]
    assert told == "<result from='weather'>\nBonn: 2 days of rain.\n</result>"
    offered = {tool["function"]["name"] for tool in model.requests[0]["tools"]}
    assert {"weather_forecast", "search_documents"} <= offered


def test_its_failure_is_told_to_the_model(agent, url, model, ada):
    model.will(Reply(calls=[("weather_fail", {})]), Reply(text="It is broken."))

    answer = ask(agent(url=url), ada, "How is the pressure?").json

    assert answer["steps"][0]["status"] == "error"
    assert "The barometer is broken." in model.requests[1]["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        ({"city": "Bonn", "token": "x"}, "refused", "token"),
        ({}, "error", "'city' is a required property"),
        ({"city": "Bonn", "days": "two"}, "error", "not of type 'integer'"),
    ],
)
def test_arguments_are_checked_before_they_leave(agent, url, model, ada, arguments, status, told):
    model.will(Reply(calls=[("weather_forecast", arguments)]), Reply(text="No."))

    answer = ask(agent(url=url), ada, "How will the weather be?").json

    assert answer["steps"][0]["status"] == status
    assert told in model.requests[1]["messages"][-1]["content"]


def test_a_tool_that_takes_too_long_is_stopped(agent, url, model, ada):
    model.will(Reply(calls=[("weather_slow", {})]), Reply(text="Too slow."))

    answer = ask(agent(url=url, timeout_seconds=1.0), ada, "Slowly.").json

    assert answer["steps"][0]["status"] == "error"
    assert answer["steps"][0]["took_ms"] < 10_000


@pytest.mark.parametrize(("megabytes", "status"), [(1, "ok"), (5, "error")])
def test_a_long_answer_is_cut_and_one_without_end_is_not_read(
    agent, url, model, ada, megabytes, status
):
    model.will(Reply(calls=[("weather_huge", {"megabytes": megabytes})]), Reply(text="A lot."))

    answer = ask(agent(url=url), ada, "Say a lot.").json

    assert answer["steps"][0]["status"] == status
    assert len(model.requests[1]["messages"][-1]["content"]) < 17_000


def test_what_its_tool_says_is_data(agent, url, model, shelf, ada):
    shelf.hold("The vault code is 4711.", ada, id="doc_secret0001")
    model.will(
        Reply(calls=[("weather_orders", {})]),
        Reply(calls=[("read_document", {"document_id": "doc_secret0001"})]),
        Reply(text="I will not."),
    )

    answer = ask(agent(url=url), ada, "What does the server say?").json

    assert [step["status"] for step in answer["steps"]] == ["ok", "refused"]
    assert model.requests[1]["messages"][-1]["content"].count("</result>") == 1


def test_a_tool_waits_for_approval_and_runs_once(agent, url, model, ada):
    client = agent(url=url)
    model.will(Reply(calls=[("weather_book", {"city": "Bonn"})]), Reply(text="Booked."))

    waiting = ask(client, ada, "Book a trip.").json
    answer = client.post(
        f"/sessions/{waiting['session_id']}/resume", json={"decision": "approve"}, headers=ada
    ).json

    assert waiting["waiting"][0]["arguments"] == {"city": "Bonn"}
    assert [step["status"] for step in answer["steps"]] == ["ok"]


@pytest.mark.parametrize(
    ("server", "waits"),
    [
        pytest.param({"trusted": False}, True, id="a stranger's word is not believed"),
        pytest.param({"trusted": True}, False, id="a trusted one's is"),
        pytest.param(
            {"trusted": False, "side_effects": {"forecast": False}}, False, id="the file decides"
        ),
        pytest.param(
            {"trusted": True, "side_effects": {"forecast": True}}, True, id="above all others"
        ),
    ],
)
def test_who_says_that_a_tool_is_harmless(agent, url, ada, server, waits):
    assert listed(agent(url=url, **server), ada)["weather_forecast"]["side_effects"] is waits


def test_who_may_not_use_a_server_does_not_see_it(agent, url, model, ada, identities):
    client = agent(url=url, permissions=["system:read"], tools=["forecast"])
    admin = identities.bearer("user-admin", permissions=["agent:query", "system:read"])
    model.will(Reply(calls=[("weather_forecast", {"city": "Bonn"})]), Reply(text="No."))

    answer = ask(client, ada, "How will the weather be?").json

    assert answer["steps"][0]["status"] == "refused"
    assert not any(name.startswith("weather") for name in listed(client, ada))
    assert {name for name in listed(client, admin) if name.startswith("weather")} == {
        "weather_forecast"
    }


def test_a_server_of_one_tenant_is_not_there_for_another(agent, url, ada, bob):
    client = agent(url=url, tenants=["tenant-of-user-ada"])

    assert "weather_forecast" in listed(client, ada)
    assert "weather_forecast" not in listed(client, bob)


def test_the_header_of_the_file_is_sent_and_never_the_callers(agent, url, model, ada):
    client = agent(url=url, headers={"Authorization": "Bearer of the file"})
    model.will(Reply(calls=[("weather_secret", {})]), Reply(text="Done."))

    ask(client, ada, "Which header?")

    told = model.requests[1]["messages"][-1]["content"]
    assert "Bearer of the file" in told
    assert ada["Authorization"] not in told


def test_a_server_that_answers_in_json_is_understood_too(agent, tmp_path, model, ada):
    model.will(Reply(calls=[("weather_forecast", {"city": "Bonn"})]), Reply(text="Rain."))
    port = free_port()

    with weather(tmp_path, port, "--json"):
        answer = ask(agent(url=f"http://127.0.0.1:{port}/mcp"), ada, "The weather?").json

    assert [step["status"] for step in answer["steps"]] == ["ok"]


def test_without_its_server_the_agent_answers_and_says_so(agent, model, ada, tmp_path):
    port = free_port()
    client = agent(url=f"http://127.0.0.1:{port}/mcp")
    assert "weather_forecast" not in listed(client, ada)
    answer = ask(client, ada, "What is 1 + 1?", model="embedded-lite").json
    assert answer["response"] == "1 + 1 = 2"

    client = agent(url=f"http://127.0.0.1:{port}/mcp")
    with weather(tmp_path, port):
        assert "weather_forecast" in listed(client, ada)
    model.will(Reply(calls=[("weather_forecast", {"city": "Bonn"})]), Reply(text="It is away."))
    answer = ask(client, ada, "How will the weather be?").json

    assert answer["steps"][0]["status"] == "error"
    assert "does not answer" in model.requests[-1]["messages"][-1]["content"]


def test_a_server_on_stdio_is_a_process_of_ours(agent, model, ada):
    client = agent(command=sys.executable, args=[str(SCRIPT)])
    model.will(Reply(calls=[("weather_forecast", {"city": "Bonn"})]), Reply(text="Rain."))

    answer = ask(client, ada, "How will the weather be?").json

    assert [step["status"] for step in answer["steps"]] == ["ok"]


def env(folder, servers, **more):
    file = folder / "servers.json"
    file.write_text(servers if isinstance(servers, str) else json.dumps({"mcpServers": servers}))
    return Env({"DATA_DIR": str(folder), "MCP_SERVERS": str(file)} | more)


def test_the_file_names_variables_for_what_is_secret(tmp_path):
    server = {"url": "https://x.test/mcp", "headers": {"Authorization": "Bearer ${TOKEN}"}}

    found = Settings.from_env(env(tmp_path, {"x": server}, TOKEN="t0ken"))

    assert found.mcp_servers["x"].headers == {"Authorization": "Bearer t0ken"}
    assert "t0ken" not in repr(found)


def test_the_data_folders_file_is_read_without_being_named(tmp_path):
    (tmp_path / "mcp.json").write_text('{"mcpServers": {"x": {"url": "https://x.test/mcp"}}}')

    found = Settings.from_env(Env({"DATA_DIR": str(tmp_path)}))

    assert list(found.mcp_servers) == ["x"]


@pytest.mark.parametrize(
    ("servers", "told"),
    [
        ("{", "JSON"),
        ("[]", "an object"),
        ({"x": {}}, "either a url or a command"),
        ({"x": {"url": "https://x.test", "command": "y"}}, "either a url or a command"),
        ({"x": {"url": "file:///etc/passwd"}}, "url"),
        ({"X y": {"url": "https://x.test"}}, "pattern"),
        ({"x": {"url": "https://x.test", "permisions": []}}, "permisions"),
        ({"x": {"url": "https://x.test", "permissions": ["root"]}}, "permissions"),
        ({"x": {"url": "https://x.test/${NO_SUCH}"}}, "NO_SUCH is not set"),
        ({"x": {"command": "weather"}}, "MCP_ALLOW_STDIO=true"),
    ],
)
def test_a_file_that_cannot_be_meant_stops_the_start(tmp_path, servers, told):
    with pytest.raises(SettingsError, match=told):
        Settings.from_env(env(tmp_path, servers))


def test_a_file_that_is_not_there_stops_the_start(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        Settings.from_env(Env({"DATA_DIR": str(tmp_path), "MCP_SERVERS": str(tmp_path / "none")}))


def test_stdio_is_used_where_it_is_allowed(tmp_path):
    found = Settings.from_env(env(tmp_path, {"x": {"command": "y"}}, MCP_ALLOW_STDIO="true"))

    assert found.mcp_servers["x"].command == "y"
