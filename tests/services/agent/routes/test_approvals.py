"""Tests of the approval of tool calls with side effects."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from backend.services.agent.app import create_app
from tests.services.agent.fakes import Reply, WordEmbedder, parse_events, post_query

NOTE = {"title": "Keys", "text": "The key is under the mat."}
OTHER = NOTE | {"text": "Something else."}


def pause_run(client, bearer, model, *replies, **fields):
    """Return an answer with a pending tool call, and the path of its session."""
    model.queue_replies(*(replies or [Reply(calls=[("save_note", NOTE)])]))
    answer = post_query(client, bearer, "Note where the key is.", **fields).json
    assert answer["finish_reason"] == "paused"
    return answer, f"/sessions/{answer['session_id']}"


def decide(client, bearer, path, decision="approve", **fields):
    return client.post(f"{path}/resume", json={"decision": decision, **fields}, headers=bearer)


def test_pending_call_is_returned_with_exact_arguments_by_answer_and_session(
    scripted_client, model, ada
):
    answer, path = pause_run(scripted_client, ada, model)

    session = scripted_client.get(path, headers=ada).json

    assert [(call["tool"], call["arguments"]) for call in answer["waiting"]] == [
        ("save_note", NOTE)
    ]
    assert session["waiting"] == answer["waiting"]
    assert session["approval"] == answer["approval"]
    assert answer["approval"]["expires_at"].endswith("Z")


def test_stream_contains_the_approval_event(scripted_client, model, ada):
    model.queue_replies(Reply(calls=[("save_note", NOTE)]))

    events = dict(
        parse_events(post_query(scripted_client, ada, "Note where the key is.", stream=True))
    )

    assert events["approval"]["waiting"] == events["done"]["waiting"]
    assert events["approval"]["approval"] == events["done"]["approval"]


def test_decision_with_outdated_approval_id_returns_409(scripted_client, rag_service, model, ada):
    first, path = pause_run(scripted_client, ada, model)
    second, _ = pause_run(
        scripted_client,
        ada,
        model,
        Reply(calls=[("save_note", OTHER)]),
        session_id=first["session_id"],
    )

    stale = decide(scripted_client, ada, path, approval_id=first["approval"]["id"])
    assert (stale.status_code, stale.json["code"]) == (409, "approval_changed")
    assert rag_service.uploads == []

    model.queue_replies(Reply(text="Noted."))
    assert (
        decide(scripted_client, ada, path, approval_id=second["approval"]["id"]).status_code == 200
    )
    assert b"Something else." in rag_service.uploads[0]
    assert len(rag_service.uploads) == 1


def test_decision_rejects_changed_arguments(scripted_client, rag_service, model, ada):
    _, path = pause_run(scripted_client, ada, model)

    for changed in ({"arguments": OTHER}, {"waiting": [OTHER]}, {"calls": []}):
        response = decide(scripted_client, ada, path, **changed)
        assert (response.status_code, response.json["code"]) == (422, "validation_failed")

    assert rag_service.uploads == []
    assert scripted_client.get(path, headers=ada).json["state"] == "waiting"


def test_approval_can_be_used_once(scripted_client, rag_service, model, ada):
    answer, path = pause_run(scripted_client, ada, model)
    model.queue_replies(Reply(text="Noted."))

    first = decide(scripted_client, ada, path)
    repeated = decide(scripted_client, ada, path, approval_id=answer["approval"]["id"])

    assert first.status_code == 200
    assert (repeated.status_code, repeated.json["code"]) == (409, "nothing_to_decide")
    assert len(rag_service.uploads) == 1


def test_only_one_of_concurrent_decisions_is_accepted(
    scripted_app, scripted_client, rag_service, model, ada
):
    _, path = pause_run(scripted_client, ada, model)
    model.queue_replies(Reply(text="Noted."), Reply(text="Noted."))

    with ThreadPoolExecutor(4) as threads:
        responses = [
            threads.submit(decide, scripted_app.test_client(), ada, path) for _ in range(4)
        ]
        statuses = sorted(response.result().status_code for response in responses)

    assert statuses == [200, 409, 409, 409]
    assert len(rag_service.uploads) == 1


def test_ids_returned_before_the_pause_are_accepted_after_it(
    scripted_client, rag_service, model, ada
):
    document = rag_service.add_document("A document of Ada.", ada)
    replies = [Reply(calls=[("list_documents", {})]), Reply(calls=[("save_note", NOTE)])]
    _, path = pause_run(scripted_client, ada, model, *replies)
    model.queue_replies(
        Reply(calls=[("read_document", {"document_id": document.id})]), Reply(text="It is yours.")
    )

    answer = decide(scripted_client, ada, path).json

    assert [step["status"] for step in answer["steps"]] == ["ok", "ok", "ok"]


def test_decision_of_another_user_returns_404(scripted_client, rag_service, model, ada, bob):
    answer, path = pause_run(scripted_client, ada, model)

    response = decide(scripted_client, bob, path, approval_id=answer["approval"]["id"])

    assert (response.status_code, response.json["code"]) == (404, "conversation_not_found")
    assert rag_service.uploads == []
    assert scripted_client.get(path, headers=ada).json["state"] == "waiting"


def test_call_that_reuses_an_approved_call_id_requires_a_new_approval(
    scripted_client, rag_service, model, ada
):
    _, path = pause_run(
        scripted_client, ada, model, Reply(calls=[("save_note", NOTE)], ids=["call_same"])
    )
    model.queue_replies(Reply(calls=[("save_note", OTHER)], ids=["call_same"]))

    answer = decide(scripted_client, ada, path).json

    assert answer["finish_reason"] == "paused"
    assert answer["waiting"][0]["arguments"] == OTHER
    assert len(rag_service.uploads) == 1


def test_repeated_identical_call_requires_a_new_approval(scripted_client, rag_service, model, ada):
    _, path = pause_run(
        scripted_client, ada, model, Reply(calls=[("save_note", NOTE)], ids=["call_same"])
    )
    model.queue_replies(Reply(calls=[("save_note", NOTE)], ids=["call_same"]))

    assert decide(scripted_client, ada, path).json["finish_reason"] == "paused"
    assert len(rag_service.uploads) == 1


def test_calls_with_the_same_id_are_distinguished(scripted_client, rag_service, model, ada):
    calls = [("save_note", NOTE), ("save_note", OTHER)]
    answer, path = pause_run(scripted_client, ada, model, Reply(calls=calls, ids=["twin", "twin"]))
    model.queue_replies(Reply(text="Both noted."))

    assert len({call["id"] for call in answer["waiting"]}) == 2
    decide(scripted_client, ada, path)

    assert len(rag_service.uploads) == 2


def test_rejection_applies_to_all_pending_calls(scripted_client, rag_service, model, ada):
    document = rag_service.add_document("A document of Ada.", ada)
    calls = [("save_note", NOTE), ("read_document", {"document_id": document.id})]
    _, path = pause_run(scripted_client, ada, model, Reply(calls=calls))
    model.queue_replies(Reply(text="Then not."))

    answer = decide(scripted_client, ada, path, "reject").json

    assert [step["status"] for step in answer["steps"]] == ["refused", "refused"]
    assert rag_service.uploads == []
    assert not any(document.id in path for path, _ in rag_service.requests)


def test_approved_call_is_refused_after_loss_of_permission(
    scripted_client, rag_service, model, ada, identities
):
    _, path = pause_run(scripted_client, ada, model)
    model.queue_replies(Reply(text="I may not."))
    viewer = identities.bearer("user-ada", permissions=["rag:read", "agent:query"])

    answer = decide(scripted_client, viewer, path).json

    assert [step["status"] for step in answer["steps"]] == ["refused"]
    assert rag_service.uploads == []


@pytest.fixture
def clock():
    """A clock that tests can advance."""

    class Clock:
        time = datetime.now(UTC)

        def __call__(self):
            return self.time

    return Clock()


def test_expired_approval_is_discarded(
    scripted_settings, model, rag_service, identities, ada, clock
):
    limits = replace(scripted_settings.limits, approval_timeout=timedelta(minutes=5))
    settings = replace(scripted_settings, limits=limits)
    app = create_app(settings, embedder=WordEmbedder(), now=clock)
    client = identities.trust(app).test_client()
    _, path = pause_run(client, ada, model)

    clock.time += timedelta(minutes=6)
    response = decide(client, ada, path)

    assert (response.status_code, response.json["code"]) == (409, "approval_expired")
    assert rag_service.uploads == []
    session = client.get(path, headers=ada).json
    assert (session["state"], session["approval"]) == ("idle", None)
    assert decide(client, ada, path).json["code"] == "nothing_to_decide"
