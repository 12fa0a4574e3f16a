"""Tests of the session routes."""

from datetime import UTC, datetime, timedelta

import pytest

from backend.chassis.database.sessions import open_database
from backend.services.agent.store import conversations as store
from tests.services.agent.fakes import Reply, parse_events, post_query

NOTE = {"title": "Keys", "text": "The key is under the mat."}


def test_session_contains_its_messages(client, rag_service, ada):
    rag_service.add_document("The notice period is three months.", ada)
    session_id = post_query(client, ada, "How long is the notice period?").json["session_id"]
    post_query(client, ada, "What is 2 + 2?", session_id=session_id)

    session = client.get(f"/sessions/{session_id}", headers=ada).json

    assert [(message["role"], message["status"]) for message in session["messages"]] == [
        ("user", "done"),
        ("assistant", "done"),
    ] * 2
    assert session["title"] == "How long is the notice period?"
    assert session["messages"][1]["citations"][0]["quote"] == "The notice period is three months."
    assert session["messages"][3]["content"] == "2 + 2 = 4"
    assert session["created_at"].endswith("Z")


def test_session_list_is_paged_most_recently_updated_first(client, ada):
    ids = [post_query(client, ada, f"What is {n} + 1?").json["session_id"] for n in range(3)]
    post_query(client, ada, "What is 5 + 5?", session_id=ids[0])

    first = client.get("/sessions?limit=2", headers=ada).json
    rest = client.get(f"/sessions?limit=2&cursor={first['next_cursor']}", headers=ada).json

    assert [item["id"] for item in first["items"] + rest["items"]] == [ids[0], ids[2], ids[1]]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize("cursor", ["nonsense", "WyJhIiwiYiJd", "W10"])
def test_session_list_rejects_invalid_cursor(client, ada, cursor):
    assert client.get(f"/sessions?cursor={cursor}", headers=ada).status_code == 422


def test_conversation_of_another_user_returns_404(client, ada, bob, identities):
    session_id = post_query(client, ada, "What is 2 + 2?").json["session_id"]
    elsewhere = identities.bearer("user-ada", tenant_id="another-tenant")

    for bearer in (bob, elsewhere):
        responses = [
            client.get(f"/sessions/{session_id}", headers=bearer),
            client.delete(f"/sessions/{session_id}", headers=bearer),
            client.post(f"/sessions/{session_id}/cancel", headers=bearer),
            client.post(
                f"/sessions/{session_id}/resume", json={"decision": "approve"}, headers=bearer
            ),
            post_query(client, bearer, "Hello", session_id=session_id),
        ]
        assert {(response.status_code, response.json["code"]) for response in responses} == {
            (404, "conversation_not_found")
        }
        assert client.get("/sessions", headers=bearer).json["items"] == []
    assert client.get(f"/sessions/{session_id}", headers=ada).status_code == 200


def test_deleted_conversation_returns_404(client, ada):
    session_id = post_query(client, ada, "What is 2 + 2?").json["session_id"]

    assert client.delete(f"/sessions/{session_id}", headers=ada).status_code == 204

    assert client.get(f"/sessions/{session_id}", headers=ada).status_code == 404
    assert post_query(client, ada, "Hello", session_id=session_id).status_code == 404


def test_tool_with_side_effects_runs_after_approval(scripted_client, rag_service, model, ada):
    model.queue_replies(
        Reply(text="I will note that.", calls=[("save_note", NOTE)]), Reply(text="It is noted.")
    )
    waiting = post_query(scripted_client, ada, "Note where the key is.").json
    session = f"/sessions/{waiting['session_id']}"

    assert waiting["finish_reason"] == "paused"
    assert [(call["tool"], call["arguments"]) for call in waiting["waiting"]] == [
        ("save_note", NOTE)
    ]
    assert rag_service.uploads == []
    assert scripted_client.get(session, headers=ada).json["state"] == "waiting"

    answer = scripted_client.post(
        f"{session}/resume", json={"decision": "approve"}, headers=ada
    ).json

    assert answer["response"] == "I will note that.\n\nIt is noted."
    assert [(step["tool"], step["status"]) for step in answer["steps"]] == [("save_note", "ok")]
    assert b"under the mat" in rag_service.uploads[0]
    assert len(rag_service.uploads) == 1
    assert len(model.requests) == 2
    repeated = scripted_client.post(f"{session}/resume", json={"decision": "approve"}, headers=ada)
    assert (repeated.status_code, repeated.json["code"]) == (409, "nothing_to_decide")


def test_rejected_call_is_reported_to_the_model_and_not_executed(
    scripted_client, rag_service, model, ada
):
    model.queue_replies(Reply(calls=[("save_note", NOTE)]), Reply(text="Then not."))
    waiting = post_query(scripted_client, ada, "Note where the key is.").json

    answer = scripted_client.post(
        f"/sessions/{waiting['session_id']}/resume", json={"decision": "reject"}, headers=ada
    ).json

    assert answer["response"] == "Then not."
    assert rag_service.uploads == []
    assert "not approved" in model.requests[1]["messages"][-1]["content"]


def test_approval_applies_to_one_call(scripted_client, rag_service, model, ada):
    model.queue_replies(
        Reply(calls=[("save_note", NOTE)]),
        Reply(calls=[("save_note", NOTE | {"text": "Something else."})]),
    )
    waiting = post_query(scripted_client, ada, "Note where the key is.").json

    answer = scripted_client.post(
        f"/sessions/{waiting['session_id']}/resume", json={"decision": "approve"}, headers=ada
    ).json

    assert answer["finish_reason"] == "paused"
    assert answer["waiting"][0]["arguments"]["text"] == "Something else."
    assert len(rag_service.uploads) == 1


def test_new_request_discards_the_pending_call(scripted_client, rag_service, model, ada):
    model.queue_replies(Reply(calls=[("save_note", NOTE)]), Reply(text="It is four."))
    waiting = post_query(scripted_client, ada, "Note where the key is.").json

    answer = post_query(scripted_client, ada, "And 2 + 2?", session_id=waiting["session_id"]).json

    assert answer["response"] == "It is four."
    assert not any("tool_calls" in message for message in model.requests[1]["messages"])
    session = scripted_client.get(f"/sessions/{waiting['session_id']}", headers=ada).json
    assert (session["state"], session["waiting"]) == ("idle", [])
    assert rag_service.uploads == []


def test_rule_based_model_waits_for_approval(client, rag_service, ada):
    response = post_query(client, ada, "Remember that the key is under the mat", stream=True)
    events = parse_events(response)
    session_id = events[0][1]["session_id"]

    assert events[-2][0] == "approval"
    answer = client.post(
        f"/sessions/{session_id}/resume", json={"decision": "approve"}, headers=ada
    ).json

    assert answer["response"] == "Saved as note.md."
    assert b"the key is under the mat" in rag_service.uploads[0]


def test_lease_expires_if_not_renewed(client, settings, ada):
    # A worker that is killed during an answer must not block its conversation forever.
    session_id = post_query(client, ada, "What is 2 + 2?").json["session_id"]
    now = datetime.now(UTC)
    with open_database(settings.database_url, "agent").across_tenants().write() as session:
        assert store.acquire_lease(session, session_id, "run_of_a_dead_worker", now, now)
    assert post_query(client, ada, "What is 3 + 3?", session_id=session_id).status_code == 200

    with open_database(settings.database_url, "agent").across_tenants().write() as session:
        until = now + timedelta(minutes=1)
        assert store.acquire_lease(session, session_id, "run_of_another", now, until)
    refused = post_query(client, ada, "What is 3 + 3?", session_id=session_id, on_busy="reject")
    assert (refused.status_code, refused.json["code"]) == (409, "conversation_busy")
