"""Conversations: listed, shown, deleted, decided on, by their owner alone."""

from datetime import UTC, datetime, timedelta

import pytest

from backend.chassis.database.sessions import open_database
from backend.services.agent.store import conversations as store
from tests.services.agent.stand_ins import Reply, ask, events

NOTE = {"title": "Keys", "text": "The key is under the mat."}


def test_a_conversation_is_shown_with_its_messages(client, shelf, ada):
    shelf.hold("The notice period is three months.", ada)
    session_id = ask(client, ada, "How long is the notice period?").json["session_id"]
    ask(client, ada, "What is 2 + 2?", session_id=session_id)

    shown = client.get(f"/sessions/{session_id}", headers=ada).json

    assert [(each["role"], each["status"]) for each in shown["messages"]] == [
        ("user", "done"),
        ("assistant", "done"),
    ] * 2
    assert shown["title"] == "How long is the notice period?"
    assert shown["messages"][1]["citations"][0]["quote"] == "The notice period is three months."
    assert shown["messages"][3]["content"] == "2 + 2 = 4"
    assert shown["created_at"].endswith("Z")


def test_the_list_is_paged_and_the_last_used_comes_first(client, ada):
    ids = [ask(client, ada, f"What is {n} + 1?").json["session_id"] for n in range(3)]
    ask(client, ada, "What is 5 + 5?", session_id=ids[0])

    first = client.get("/sessions?limit=2", headers=ada).json
    rest = client.get(f"/sessions?limit=2&cursor={first['next_cursor']}", headers=ada).json

    assert [each["id"] for each in first["items"] + rest["items"]] == [ids[0], ids[2], ids[1]]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize("cursor", ["nonsense", "WyJhIiwiYiJd", "W10"])
def test_a_made_up_cursor_is_refused(client, ada, cursor):
    assert client.get(f"/sessions?cursor={cursor}", headers=ada).status_code == 422


def test_another_ones_conversation_is_as_good_as_none(client, ada, bob, identities):
    session_id = ask(client, ada, "What is 2 + 2?").json["session_id"]
    elsewhere = identities.bearer("user-ada", tenant_id="another-tenant")

    for bearer in (bob, elsewhere):
        answers = [
            client.get(f"/sessions/{session_id}", headers=bearer),
            client.delete(f"/sessions/{session_id}", headers=bearer),
            client.post(f"/sessions/{session_id}/cancel", headers=bearer),
            client.post(
                f"/sessions/{session_id}/resume", json={"decision": "approve"}, headers=bearer
            ),
            ask(client, bearer, "Hello", session_id=session_id),
        ]
        assert {(each.status_code, each.json["code"]) for each in answers} == {
            (404, "conversation_not_found")
        }
        assert client.get("/sessions", headers=bearer).json["items"] == []
    assert client.get(f"/sessions/{session_id}", headers=ada).status_code == 200


def test_a_deleted_conversation_is_gone(client, ada):
    session_id = ask(client, ada, "What is 2 + 2?").json["session_id"]

    assert client.delete(f"/sessions/{session_id}", headers=ada).status_code == 204

    assert client.get(f"/sessions/{session_id}", headers=ada).status_code == 404
    assert ask(client, ada, "Hello", session_id=session_id).status_code == 404


def test_a_tool_with_side_effects_waits_and_runs_once_approved(scripted, shelf, model, ada):
    model.will(
        Reply(text="I will note that.", calls=[("save_note", NOTE)]), Reply(text="It is noted.")
    )
    waiting = ask(scripted, ada, "Note where the key is.").json
    session = f"/sessions/{waiting['session_id']}"

    assert waiting["finish_reason"] == "paused"
    assert [(each["tool"], each["arguments"]) for each in waiting["waiting"]] == [
        ("save_note", NOTE)
    ]
    assert shelf.uploads == []
    assert scripted.get(session, headers=ada).json["state"] == "waiting"

    answer = scripted.post(f"{session}/resume", json={"decision": "approve"}, headers=ada).json

    assert answer["response"] == "I will note that.\n\nIt is noted."
    assert [(each["tool"], each["status"]) for each in answer["steps"]] == [("save_note", "ok")]
    assert b"under the mat" in shelf.uploads[0]
    assert len(shelf.uploads) == 1
    assert len(model.requests) == 2
    again = scripted.post(f"{session}/resume", json={"decision": "approve"}, headers=ada)
    assert (again.status_code, again.json["code"]) == (409, "nothing_to_decide")


def test_a_rejected_call_is_told_to_the_model_and_never_run(scripted, shelf, model, ada):
    model.will(Reply(calls=[("save_note", NOTE)]), Reply(text="Then not."))
    waiting = ask(scripted, ada, "Note where the key is.").json

    answer = scripted.post(
        f"/sessions/{waiting['session_id']}/resume", json={"decision": "reject"}, headers=ada
    ).json

    assert answer["response"] == "Then not."
    assert shelf.uploads == []
    assert "not approved" in model.requests[1]["messages"][-1]["content"]


def test_one_approval_is_for_one_call(scripted, shelf, model, ada):
    model.will(
        Reply(calls=[("save_note", NOTE)]),
        Reply(calls=[("save_note", NOTE | {"text": "Something else."})]),
    )
    waiting = ask(scripted, ada, "Note where the key is.").json

    answer = scripted.post(
        f"/sessions/{waiting['session_id']}/resume", json={"decision": "approve"}, headers=ada
    ).json

    assert answer["finish_reason"] == "paused"
    assert answer["waiting"][0]["arguments"]["text"] == "Something else."
    assert len(shelf.uploads) == 1


def test_a_new_request_takes_the_place_of_a_decision(scripted, shelf, model, ada):
    model.will(Reply(calls=[("save_note", NOTE)]), Reply(text="It is four."))
    waiting = ask(scripted, ada, "Note where the key is.").json

    answer = ask(scripted, ada, "And 2 + 2?", session_id=waiting["session_id"]).json

    assert answer["response"] == "It is four."
    assert not any("tool_calls" in each for each in model.requests[1]["messages"])
    shown = scripted.get(f"/sessions/{waiting['session_id']}", headers=ada).json
    assert (shown["state"], shown["waiting"]) == ("idle", [])
    assert shelf.uploads == []


def test_the_embedded_tier_waits_for_approval_too(client, shelf, ada):
    waiting = ask(client, ada, "Remember that the key is under the mat", stream=True)
    found = events(waiting)
    session_id = found[0][1]["session_id"]

    assert found[-2][0] == "approval"
    answer = client.post(
        f"/sessions/{session_id}/resume", json={"decision": "approve"}, headers=ada
    ).json

    assert answer["response"] == "Saved as note.md."
    assert b"the key is under the mat" in shelf.uploads[0]


def test_a_lease_that_nobody_renews_runs_out(client, settings, ada):
    # A worker that was killed in the middle of an answer must not lock its conversation.
    session_id = ask(client, ada, "What is 2 + 2?").json["session_id"]
    now = datetime.now(UTC)
    with open_database(settings.database_url, "agent").write() as session:
        assert store.claim(session, session_id, "run_of_a_dead_worker", now, now)
    assert ask(client, ada, "What is 3 + 3?", session_id=session_id).status_code == 200

    with open_database(settings.database_url, "agent").write() as session:
        until = now + timedelta(minutes=1)
        assert store.claim(session, session_id, "run_of_another", now, until)
    refused = ask(client, ada, "What is 3 + 3?", session_id=session_id, on_busy="reject")
    assert (refused.status_code, refused.json["code"]) == (409, "conversation_busy")
