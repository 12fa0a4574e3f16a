"""A service of a few lines declares tools, and the agent uses them as its user."""

import threading
from dataclasses import replace

import pytest
from flask import Flask
from pydantic import BaseModel
from werkzeug.serving import make_server

from backend.chassis.web.agent_tools import agent_tool, declare_tools
from backend.security import (
    Permission,
    current_principal,
    require_permission,
    validate_input,
    validate_query,
)
from backend.services.agent.app import create_app
from tests.servers import free_port
from tests.services.agent.stand_ins import Reply, WordEmbedder, ask


class Order(BaseModel):
    what: str
    pieces: int = 1


class Wanted(BaseModel):
    state: str = "open"


def orders_service():
    """The service; `orders` is what it was asked to do, by whom."""
    app = Flask("orders-service")
    app.orders = []

    @app.post("/orders")
    @agent_tool("place")
    @require_permission(Permission.RAG_WRITE)
    @validate_input(Order)
    def place(order: Order):
        """Order something."""
        app.orders.append((current_principal().user_id, order.what, order.pieces))
        return {"number": len(app.orders)}, 201

    @app.get("/orders")
    @agent_tool("list")
    @require_permission(Permission.RAG_READ)
    @validate_query(Wanted)
    def show_all(wanted: Wanted):
        """List the user's orders."""
        mine = [what for who, what, _ in app.orders if who == current_principal().user_id]
        return {"state": wanted.state, "orders": mine}

    @app.get("/orders/<number>")
    @agent_tool("show")
    @require_permission(Permission.RAG_READ)
    def show(number: str):
        """Show one order."""
        return {"number": number}

    @app.get("/accounts")
    @agent_tool("accounts")
    @require_permission(Permission.USERS_READ)
    def accounts():
        """What no agent may do for anybody."""
        raise AssertionError

    declare_tools(app)
    return app


@pytest.fixture
def orders(identities, settings):
    identities.shared_secret = settings.common.secret_key.reveal()
    app = identities.trust(orders_service())
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    app.url = f"http://127.0.0.1:{server.server_port}"
    yield app
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def shop(scripted_settings, identities, orders):
    """A client of an agent whose catalog names the service."""
    settings = replace(scripted_settings, tool_services={"orders": (orders.url,)})
    return identities.trust(create_app(settings, embedder=WordEmbedder())).test_client()


def listed(client, bearer):
    return {
        tool["name"]: tool
        for tool in client.get("/tools", headers=bearer).json["items"]
        if tool["source"] == "service:orders"
    }


def test_its_routes_are_listed_as_tools(shop, ada):
    tools = listed(shop, ada)

    assert tools.keys() == {"orders_place", "orders_list", "orders_show"}
    assert tools["orders_place"]["description"] == "Order something."
    assert tools["orders_place"]["parameters"]["required"] == ["what"]
    assert {name: tool["side_effects"] for name, tool in tools.items()} == {
        "orders_place": True,
        "orders_list": False,
        "orders_show": False,
    }


def test_who_lacks_the_permission_does_not_see_the_tool(shop, model, orders, identities):
    viewer = identities.bearer("user-vic", permissions=["rag:read", "agent:query"])
    model.will(Reply(calls=[("orders_place", {"what": "tea"})]), Reply(text="I may not."))

    answer = ask(shop, viewer, "Order tea.").json

    assert listed(shop, viewer).keys() == {"orders_list", "orders_show"}
    assert [step["status"] for step in answer["steps"]] == ["refused"]
    assert orders.orders == []


def test_what_no_agent_may_do_for_a_user_is_not_offered_to_an_admin_either(shop, identities):
    admin = identities.bearer("user-admin", permissions=list(Permission))

    assert "orders_accounts" not in listed(shop, admin)


def test_a_tool_runs_as_its_user_once_approved(shop, model, orders, ada):
    model.will(
        Reply(calls=[("orders_place", {"what": "tea", "pieces": 2})]), Reply(text="Ordered.")
    )

    waiting = ask(shop, ada, "Order two teas.").json
    assert orders.orders == []
    answer = shop.post(
        f"/sessions/{waiting['session_id']}/resume", json={"decision": "approve"}, headers=ada
    ).json

    assert [step["status"] for step in answer["steps"]] == ["ok"]
    assert orders.orders == [("user-ada", "tea", 2)]
    assert '{"number": 1}' in model.requests[1]["messages"][-1]["content"]


def test_everyone_gets_what_is_theirs(shop, model, orders, ada, bob):
    orders.orders += [("user-ada", "tea", 1), ("user-bob", "gin", 1)]
    model.will(Reply(calls=[("orders_list", {"state": "sent"})]), Reply(text="Gin."))

    ask(shop, bob, "What did I order?")

    told = model.requests[1]["messages"][-1]["content"]
    assert '{"orders": ["gin"], "state": "sent"}' in told.replace("\n", "")
    assert told.startswith("<result from='orders'>")


@pytest.mark.parametrize("number", ["..", "../accounts", "a/b", "7?state=x", "ä ö#"])
def test_an_argument_cannot_lead_to_another_route(shop, model, ada, number):
    model.will(Reply(calls=[("orders_show", {"number": number})]), Reply(text="Shown."))

    answer = ask(shop, ada, "Show the order.").json

    told = model.requests[1]["messages"][-1]["content"]
    assert answer["steps"][0]["status"] == "error" or f'"number": "{number}"' in told


@pytest.mark.parametrize(
    ("arguments", "status"),
    [({"what": "tea", "user_id": "user-bob"}, "refused"), ({"what": 7}, "error"), ({}, "error")],
)
def test_its_arguments_are_checked(shop, model, orders, ada, arguments, status):
    model.will(Reply(calls=[("orders_place", arguments)]), Reply(text="No."))

    answer = ask(shop, ada, "Order.").json

    assert [step["status"] for step in answer["steps"]] == [status]
    assert orders.orders == []


def test_without_the_service_the_agent_answers(scripted_settings, identities, model, ada):
    away = {"orders": (f"http://127.0.0.1:{free_port()}",)}
    app = create_app(replace(scripted_settings, tool_services=away), embedder=WordEmbedder())
    client = identities.trust(app).test_client()
    model.will(Reply(text="Hello."))

    assert ask(client, ada, "Hello").json["response"] == "Hello."
    assert listed(client, ada) == {}
