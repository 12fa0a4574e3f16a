"""Conversations through the gateway: resumed streams and branches."""

import pytest

from tests.services.agent.fakes import parse_numbered_events

pytestmark = pytest.mark.suite


def test_stream_is_resumed_after_last_event_id(ada):
    body = {"user_request": "What is 17 * 23?", "stream": True}
    events = parse_numbered_events(ada("POST", "/agent/query", json=body).text)
    session_id, cut = events[0][2]["session_id"], len(events) // 2

    rest = ada(
        "GET",
        f"/agent/sessions/{session_id}/events",
        headers={"Last-Event-ID": str(events[cut - 1][0])},
    )

    assert parse_numbered_events(rest.text) == events[cut:]


def test_edited_request_can_be_switched_back_to_the_first_branch(ada):
    answer = ada("POST", "/agent/query", json={"user_request": "What is 17 * 23?"}).json()
    session = f"/agent/sessions/{answer['session_id']}"
    first = ada("GET", session).json()["messages"][0]["id"]

    edited = ada(
        "POST", f"{session}/messages/{first}/edit", json={"user_request": "What is 17 * 24?"}
    ).json()
    conversation = ada("PATCH", session, json={"active_message_id": first}).json()

    assert edited["response"] == "17 * 24 = 408"
    assert [item["content"] for item in conversation["messages"]] == [
        "What is 17 * 23?",
        "17 * 23 = 391",
    ]
    assert len(conversation["messages"][0]["alternatives"]) == 2
