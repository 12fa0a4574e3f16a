"""Domain events of all services reach the broker, as the AsyncAPI document describes them."""

from typing import Any

import pytest
import requests

from backend.chassis.messaging.brokers import open_broker
from backend.chassis.messaging.cloud_events import parse_event
from tests.event_schemas import validate_event
from tests.servers import wait_until
from tests.suite.conftest import Suite, UserClient

pytestmark = pytest.mark.suite


def test_events_of_all_services_reach_a_consumer_in_order(suite: Suite, ada: UserClient) -> None:
    user_id = ada.account["user"]["id"]
    broker = open_broker(suite.redis_url)
    assert broker is not None
    subscription = broker.subscribe("tests", ["auth", "agent", "rag"])
    received: list[dict[str, Any]] = []

    def has_received(expected: set[str]) -> bool:
        for content in subscription.receive_events(0.2):
            event = parse_event(content).to_json()
            validate_event(event)
            if user_id in (event["data"].get("user_id"), event["data"].get("owner_id")):
                received.append(event)
        subscription.acknowledge_events()
        return expected <= {event["type"] for event in received}

    answer = ada("POST", "/agent/query", json={"user_request": "What is 6 * 7?"}).json()
    files = {"file": ("boiler.txt", b"The boiler stands in room 14.")}
    assert ada("POST", "/rag/documents?wait=60", files=files).status_code == 201
    wait_until(
        lambda: has_received(
            {
                *("auth.user-created", "agent.run-started", "agent.run-finished"),
                "rag.document-ready",
            }
        ),
        60,
    )
    subscription.close()
    broker.close()

    runs = [event for event in received if event["partitionkey"] == answer["session_id"]]
    assert [event["type"] for event in runs] == ["agent.run-started", "agent.run-finished"]
    assert all(event.get("traceparent") for event in runs)


def test_gateway_serves_the_asyncapi_document(suite: Suite) -> None:
    document = requests.get(f"{suite.url}/asyncapi.json", timeout=30).json()

    assert "rag.document-ready" in document["components"]["messages"]
