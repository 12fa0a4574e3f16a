"""A conversation through the gateway: a stream that is come back to, and branches."""

import pytest

from tests.services.agent.stand_ins import numbered

pytestmark = pytest.mark.suite


def test_a_stream_is_come_back_to_where_it_broke(ada):
    body = {"user_request": "What is 17 * 23?", "stream": True}
    found = numbered(ada("POST", "/agent/query", json=body).text)
    session_id, cut = found[0][2]["session_id"], len(found) // 2

    rest = ada(
        "GET",
        f"/agent/sessions/{session_id}/events",
        headers={"Last-Event-ID": str(found[cut - 1][0])},
    )

    assert numbered(rest.text) == found[cut:]


def test_a_request_is_edited_and_the_first_wording_gone_back_to(ada):
    answer = ada("POST", "/agent/query", json={"user_request": "What is 17 * 23?"}).json()
    session = f"/agent/sessions/{answer['session_id']}"
    first = ada("GET", session).json()["messages"][0]["id"]

    edited = ada(
        "POST", f"{session}/messages/{first}/edit", json={"user_request": "What is 17 * 24?"}
    ).json()
    back = ada("PATCH", session, json={"active_message_id": first}).json()

    assert edited["response"] == "17 * 24 = 408"
    assert [each["content"] for each in back["messages"]] == ["What is 17 * 23?", "17 * 23 = 391"]
    assert len(back["messages"][0]["alternatives"]) == 2
