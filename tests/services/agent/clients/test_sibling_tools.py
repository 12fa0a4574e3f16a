"""Tools that another service declares, called with the user's permissions."""

import re
import threading
from dataclasses import replace

import pytest
from flask import Flask
from pydantic import BaseModel
from werkzeug.serving import make_server

from backend.chassis.web.agent_tools import agent_tool, declare_agent_tools
from backend.security import (
    Permission,
    current_principal,
    require_permission,
    validate_input,
    validate_query,
)
from backend.services.agent.app import create_app
from tests.servers import free_port
from tests.services.agent.fakes import Reply, WordEmbedder, post_query


class Order(BaseModel):
    item: str
    pieces: int = 1


class OrderFilter(BaseModel):
    state: str = "open"


def create_orders_service():
    """Return a service that records orders as (user id, item, pieces) in `orders`."""
    app = Flask("orders-service")
    app.orders = []

    @app.post("/orders")
    @agent_tool("place")
    @require_permission(Permission.RAG_WRITE)
    @validate_input(Order)
    def place_order(order: Order):
        """Order something."""
        app.orders.append((current_principal().user_id, order.item, order.pieces))
        return {"number": len(app.orders)}, 201

    @app.get("/orders")
    @agent_tool("list")
    @require_permission(Permission.RAG_READ)
    @validate_query(OrderFilter)
    def list_orders(filters: OrderFilter):
        """List the user's orders."""
        mine = [item for user_id, item, _ in app.orders if user_id == current_principal().user_id]
        return {"state": filters.state, "orders": mine}

    @app.get("/orders/<number>")
    @agent_tool("show")
    @require_permission(Permission.RAG_READ)
    def show_order(number: str):
        """Show one order."""
        return {"number": number}

    @app.get("/accounts")
    @agent_tool("accounts")
    @require_permission(Permission.USERS_READ)
    def list_accounts():
        """Requires a permission that is not delegated to the agent."""
        raise AssertionError

    declare_agent_tools(app)
    return app


@pytest.fixture
def orders(identities, settings):
    identities.shared_secret = settings.common.secret_key.reveal()
    app = identities.trust(create_orders_service())
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    app.url = f"http://127.0.0.1:{server.server_port}"
    yield app
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def orders_client(scripted_settings, identities, orders):
    """A client of an agent that uses the orders service."""
    settings = replace(scripted_settings, tool_services={"orders": (orders.url,)})
    return identities.trust(create_app(settings, embedder=WordEmbedder())).test_client()


def list_tools(client, bearer):
    return {
        tool["name"]: tool
        for tool in client.get("/tools", headers=bearer).json["items"]
        if tool["source"] == "service:orders"
    }


def test_declared_routes_are_listed_as_tools(orders_client, ada):
    tools = list_tools(orders_client, ada)

    assert tools.keys() == {"orders_place", "orders_list", "orders_show"}
    assert tools["orders_place"]["description"] == "Order something."
    assert tools["orders_place"]["parameters"]["required"] == ["item"]
    assert {name: tool["side_effects"] for name, tool in tools.items()} == {
        "orders_place": True,
        "orders_list": False,
        "orders_show": False,
    }


def test_tool_is_hidden_and_refused_without_permission(orders_client, model, orders, identities):
    viewer = identities.bearer("user-vic", permissions=["rag:read", "agent:query"])
    model.queue_replies(Reply(calls=[("orders_place", {"item": "tea"})]), Reply(text="I may not."))

    answer = post_query(orders_client, viewer, "Order tea.").json

    assert list_tools(orders_client, viewer).keys() == {"orders_list", "orders_show"}
    assert [step["status"] for step in answer["steps"]] == ["refused"]
    assert orders.orders == []


def test_tool_with_undelegated_permission_is_never_listed(orders_client, identities):
    admin = identities.bearer("user-admin", permissions=list(Permission))

    assert "orders_accounts" not in list_tools(orders_client, admin)


def test_approved_tool_runs_with_the_users_identity(orders_client, model, orders, ada):
    model.queue_replies(
        Reply(calls=[("orders_place", {"item": "tea", "pieces": 2})]), Reply(text="Ordered.")
    )

    paused = post_query(orders_client, ada, "Order two teas.").json
    assert orders.orders == []
    answer = orders_client.post(
        f"/sessions/{paused['session_id']}/resume", json={"decision": "approve"}, headers=ada
    ).json

    assert [step["status"] for step in answer["steps"]] == ["ok"]
    assert orders.orders == [("user-ada", "tea", 2)]
    assert '{"number": 1}' in model.requests[1]["messages"][-1]["content"]


def test_tool_returns_only_the_users_own_data(orders_client, model, orders, ada, bob):
    orders.orders += [("user-ada", "tea", 1), ("user-bob", "gin", 1)]
    model.queue_replies(Reply(calls=[("orders_list", {"state": "sent"})]), Reply(text="Gin."))

    post_query(orders_client, bob, "What did I order?")

    content = model.requests[1]["messages"][-1]["content"]
    assert '{"orders": ["gin"], "state": "sent"}' in content.replace("\n", "")
    assert re.match('<result-[0-9a-f]{12} from="orders">', content)


@pytest.mark.parametrize("number", ["..", "../accounts", "a/b", "7?state=x", "ä ö#"])
def test_path_argument_cannot_change_the_route(orders_client, model, ada, number):
    model.queue_replies(Reply(calls=[("orders_show", {"number": number})]), Reply(text="Shown."))

    answer = post_query(orders_client, ada, "Show the order.").json

    content = model.requests[1]["messages"][-1]["content"]
    assert answer["steps"][0]["status"] == "error" or f'"number": "{number}"' in content


@pytest.mark.parametrize(
    ("arguments", "status"),
    [({"item": "tea", "user_id": "user-bob"}, "refused"), ({"item": 7}, "error"), ({}, "error")],
)
def test_arguments_are_validated_before_the_call(
    orders_client, model, orders, ada, arguments, status
):
    model.queue_replies(Reply(calls=[("orders_place", arguments)]), Reply(text="No."))

    answer = post_query(orders_client, ada, "Order.").json

    assert [step["status"] for step in answer["steps"]] == [status]
    assert orders.orders == []


def test_agent_works_without_an_unreachable_service(scripted_settings, identities, model, ada):
    unreachable = {"orders": (f"http://127.0.0.1:{free_port()}",)}
    app = create_app(replace(scripted_settings, tool_services=unreachable), embedder=WordEmbedder())
    client = identities.trust(app).test_client()
    model.queue_replies(Reply(text="Hello."))

    assert post_query(client, ada, "Hello").json["response"] == "Hello."
    assert list_tools(client, ada) == {}
