"""Tool calls with side effects wait for their user, who decides on just what was shown."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from backend.services.agent.app import create_app
from tests.services.agent.stand_ins import Reply, WordEmbedder, ask, events

NOTE = {"title": "Keys", "text": "The key is under the mat."}
OTHER = NOTE | {"text": "Something else."}


def waits(client, bearer, model, *replies, **more):
    """An answer in which a call waits, and the path of its conversation."""
    model.will(*(replies or [Reply(calls=[("save_note", NOTE)])]))
    answer = ask(client, bearer, "Note where the key is.", **more).json
    assert answer["finish_reason"] == "paused"
    return answer, f"/sessions/{answer['session_id']}"


def decide(client, bearer, path, decision="approve", **more):
    return client.post(f"{path}/resume", json={"decision": decision, **more}, headers=bearer)


def test_what_waits_is_shown_with_its_exact_arguments_wherever_one_looks(scripted, model, ada):
    answer, path = waits(scripted, ada, model)

    shown = scripted.get(path, headers=ada).json

    assert [(each["tool"], each["arguments"]) for each in answer["waiting"]] == [
        ("save_note", NOTE)
    ]
    assert shown["waiting"] == answer["waiting"]
    assert shown["approval"] == answer["approval"]
    assert answer["approval"]["expires_at"].endswith("Z")


def test_a_stream_tells_of_the_approval(scripted, model, ada):
    model.will(Reply(calls=[("save_note", NOTE)]))

    found = dict(events(ask(scripted, ada, "Note where the key is.", stream=True)))

    assert found["approval"]["waiting"] == found["done"]["waiting"]
    assert found["approval"]["approval"] == found["done"]["approval"]


def test_a_decision_on_what_was_shown_before_is_refused(scripted, shelf, model, ada):
    first, path = waits(scripted, ada, model)
    second, _ = waits(
        scripted,
        ada,
        model,
        Reply(calls=[("save_note", OTHER)]),
        session_id=first["session_id"],
    )

    stale = decide(scripted, ada, path, approval_id=first["approval"]["id"])
    assert (stale.status_code, stale.json["code"]) == (409, "approval_changed")
    assert shelf.uploads == []

    model.will(Reply(text="Noted."))
    assert decide(scripted, ada, path, approval_id=second["approval"]["id"]).status_code == 200
    assert b"Something else." in shelf.uploads[0]
    assert len(shelf.uploads) == 1


def test_arguments_cannot_be_changed_with_the_approval(scripted, shelf, model, ada):
    _, path = waits(scripted, ada, model)

    for changed in ({"arguments": OTHER}, {"waiting": [OTHER]}, {"calls": []}):
        response = decide(scripted, ada, path, **changed)
        assert (response.status_code, response.json["code"]) == (422, "validation_failed")

    assert shelf.uploads == []
    assert scripted.get(path, headers=ada).json["state"] == "waiting"


def test_an_approval_is_good_once(scripted, shelf, model, ada):
    answer, path = waits(scripted, ada, model)
    model.will(Reply(text="Noted."))

    first = decide(scripted, ada, path)
    again = decide(scripted, ada, path, approval_id=answer["approval"]["id"])

    assert first.status_code == 200
    assert (again.status_code, again.json["code"]) == (409, "nothing_to_decide")
    assert len(shelf.uploads) == 1


def test_of_two_decisions_at_once_one_holds(scripted_app, scripted, shelf, model, ada):
    _, path = waits(scripted, ada, model)
    model.will(Reply(text="Noted."), Reply(text="Noted."))

    with ThreadPoolExecutor(4) as threads:
        answers = [threads.submit(decide, scripted_app.test_client(), ada, path) for _ in range(4)]
        statuses = sorted(each.result().status_code for each in answers)

    assert statuses == [200, 409, 409, 409]
    assert len(shelf.uploads) == 1


def test_what_a_tool_named_before_the_pause_may_be_used_after_it(scripted, shelf, model, ada):
    mine = shelf.hold("Mine.", ada)
    replies = [Reply(calls=[("list_documents", {})]), Reply(calls=[("save_note", NOTE)])]
    _, path = waits(scripted, ada, model, *replies)
    model.will(
        Reply(calls=[("read_document", {"document_id": mine.id})]), Reply(text="It is mine.")
    )

    answer = decide(scripted, ada, path).json

    assert [step["status"] for step in answer["steps"]] == ["ok", "ok", "ok"]


def test_nobody_else_decides(scripted, shelf, model, ada, bob):
    answer, path = waits(scripted, ada, model)

    response = decide(scripted, bob, path, approval_id=answer["approval"]["id"])

    assert (response.status_code, response.json["code"]) == (404, "conversation_not_found")
    assert shelf.uploads == []
    assert scripted.get(path, headers=ada).json["state"] == "waiting"


def test_a_call_that_repeats_the_approved_ones_id_waits_anew(scripted, shelf, model, ada):
    _, path = waits(scripted, ada, model, Reply(calls=[("save_note", NOTE)], ids=["call_same"]))
    model.will(Reply(calls=[("save_note", OTHER)], ids=["call_same"]))

    answer = decide(scripted, ada, path).json

    assert answer["finish_reason"] == "paused"
    assert answer["waiting"][0]["arguments"] == OTHER
    assert len(shelf.uploads) == 1


def test_the_same_call_once_more_waits_anew(scripted, shelf, model, ada):
    _, path = waits(scripted, ada, model, Reply(calls=[("save_note", NOTE)], ids=["call_same"]))
    model.will(Reply(calls=[("save_note", NOTE)], ids=["call_same"]))

    assert decide(scripted, ada, path).json["finish_reason"] == "paused"
    assert len(shelf.uploads) == 1


def test_two_calls_of_one_id_are_two_calls(scripted, shelf, model, ada):
    calls = [("save_note", NOTE), ("save_note", OTHER)]
    answer, path = waits(scripted, ada, model, Reply(calls=calls, ids=["twin", "twin"]))
    model.will(Reply(text="Both noted."))

    assert len({each["id"] for each in answer["waiting"]}) == 2
    decide(scripted, ada, path)

    assert len(shelf.uploads) == 2


def test_a_rejection_holds_for_all_that_was_shown(scripted, shelf, model, ada):
    mine = shelf.hold("Mine.", ada)
    calls = [("save_note", NOTE), ("read_document", {"document_id": mine.id})]
    _, path = waits(scripted, ada, model, Reply(calls=calls))
    model.will(Reply(text="Then not."))

    answer = decide(scripted, ada, path, "reject").json

    assert [step["status"] for step in answer["steps"]] == ["refused", "refused"]
    assert shelf.uploads == []
    assert not any(mine.id in path for path, _ in shelf.requests)


def test_who_lost_the_permission_meanwhile_cannot_approve(scripted, shelf, model, ada, identities):
    _, path = waits(scripted, ada, model)
    model.will(Reply(text="I may not."))
    viewer = identities.bearer("user-ada", permissions=["rag:read", "agent:query"])

    answer = decide(scripted, viewer, path).json

    assert [step["status"] for step in answer["steps"]] == ["refused"]
    assert shelf.uploads == []


@pytest.fixture
def clock():
    """A clock that a test turns."""

    class Clock:
        time = datetime.now(UTC)

        def __call__(self):
            return self.time

    return Clock()


def test_what_waits_too_long_is_dropped(scripted_settings, model, shelf, identities, ada, clock):
    limits = replace(scripted_settings.limits, approval_time=timedelta(minutes=5))
    settings = replace(scripted_settings, limits=limits)
    app = create_app(settings, embedder=WordEmbedder(), now=clock)
    client = identities.trust(app).test_client()
    _, path = waits(client, ada, model)

    clock.time += timedelta(minutes=6)
    response = decide(client, ada, path)

    assert (response.status_code, response.json["code"]) == (409, "approval_expired")
    assert shelf.uploads == []
    shown = client.get(path, headers=ada).json
    assert (shown["state"], shown["approval"]) == ("idle", None)
    assert decide(client, ada, path).json["code"] == "nothing_to_decide"
