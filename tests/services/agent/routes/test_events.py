"""Tests of resuming an event stream at the same or another worker."""

import queue
import threading
from contextlib import contextmanager
from dataclasses import replace

import pytest

from backend.services.agent.app import create_app
from tests.services.agent.fakes import Reply, WordEmbedder, parse_numbered_events, post_query

STREAM_REQUEST = {"user_request": "Talk.", "stream": True}
CONTINUED_STREAM_REQUEST = STREAM_REQUEST | {"on_disconnect": "continue"}


@pytest.fixture(params=["memory", "redis"])
def workers(request, scripted_settings, identities):
    """Return clients of two workers. With events in memory, both are the same worker."""
    if request.param == "memory":
        app = request.getfixturevalue("scripted_app")
        return [app.test_client(), app.test_client()]
    url = request.getfixturevalue("valkey").url
    common = replace(scripted_settings.common, redis_url=url)
    shared = replace(scripted_settings, common=common)
    apps = [create_app(shared, embedder=WordEmbedder()) for _ in range(2)]
    return [identities.trust(app).test_client() for app in apps]


@contextmanager
def disconnect_after_first_token(worker, ada, body):
    """Close a stream after its first token, and yield the events so far.

    One thread does everything, like a server thread.
    """
    received = queue.SimpleQueue()

    def read_stream():
        response = worker.post("/query", json=body, headers=ada, buffered=False)
        stream, text = response.iter_encoded(), ""
        while "event: token" not in text:
            text += next(stream).decode()
        received.put(parse_numbered_events(text))
        response.close()

    reader = threading.Thread(target=read_stream)
    reader.start()
    yield received.get(timeout=10)
    reader.join(60)
    assert not reader.is_alive()


def resume_stream(worker, ada, session_id, after=0, **query):
    response = worker.get(
        f"/sessions/{session_id}/events",
        query_string=query,
        headers=ada | {"Last-Event-ID": str(after)},
    )
    assert response.status_code == 200, response.text
    return parse_numbered_events(response.get_data(as_text=True))


def join_tokens(events):
    return "".join(data["text"] for _, name, data in events if name == "token")


def test_events_are_numbered_and_identify_their_messages(scripted_client, model, ada):
    model.queue_replies(Reply(text="One two three"))

    events = parse_numbered_events(
        scripted_client.post("/query", json=STREAM_REQUEST, headers=ada).get_data(as_text=True)
    )

    assert [number for number, *_ in events] == list(range(1, len(events) + 1))
    started, done = events[0][2], events[-1][2]
    messages = scripted_client.get(f"/sessions/{started['session_id']}", headers=ada).json[
        "messages"
    ]
    assert [message["id"] for message in messages] == [
        started["parent_id"],
        started["message_id"],
    ]
    assert done["message_id"] == started["message_id"]


def test_reconnecting_client_receives_all_events(workers, model, ada):
    model.queue_replies(Reply(text="word " * 12, pause_seconds=0.05))
    with disconnect_after_first_token(workers[0], ada, CONTINUED_STREAM_REQUEST) as first:
        session_id, run_id = first[0][2]["session_id"], first[0][2]["run_id"]
        rest = resume_stream(workers[1], ada, session_id, first[-1][0], run_id=run_id)
    all_events = resume_stream(workers[1], ada, session_id)

    assert [event[0] for event in first + rest] == list(range(1, len(first + rest) + 1))
    assert rest[-1][1] == "done"
    assert join_tokens(first + rest) == rest[-1][2]["response"] == " ".join(["word"] * 12)
    assert all_events == first + rest


@pytest.mark.alone
def test_disconnect_cancels_the_answer_by_default(workers, model, ada):
    model.queue_replies(Reply(text="word " * 100, pause_seconds=0.05))

    with disconnect_after_first_token(workers[0], ada, STREAM_REQUEST) as first:
        assert model.client_disconnected.wait(60)

    rest = resume_stream(workers[1], ada, first[0][2]["session_id"], first[-1][0])
    assert rest[-1][2]["finish_reason"] == "cancelled"


@pytest.mark.alone
def test_answer_continued_after_disconnect_can_be_cancelled(workers, model, ada):
    model.queue_replies(Reply(text="word " * 100, pause_seconds=0.05))

    with disconnect_after_first_token(workers[0], ada, CONTINUED_STREAM_REQUEST) as first:
        session_id = first[0][2]["session_id"]
        workers[1].post(f"/sessions/{session_id}/cancel", headers=ada)
        rest = resume_stream(workers[1], ada, session_id, first[-1][0])

    assert rest[-1][2]["finish_reason"] == "cancelled"
    assert model.client_disconnected.wait(60)


@pytest.mark.alone
def test_answer_continued_after_disconnect_ends_when_the_login_session_is_revoked(
    scripted_client, model, identities, ada
):
    model.queue_replies(Reply(text="word " * 100, pause_seconds=0.05))

    with disconnect_after_first_token(scripted_client, ada, CONTINUED_STREAM_REQUEST):
        identities.revocations.revoke_session("session-of-user-ada", 600)

    assert model.client_disconnected.wait(60)


def test_events_of_unstreamed_answer_can_be_read(workers, model, ada):
    model.queue_replies(Reply(text="One two three"))
    session_id = post_query(workers[0], ada, "Count.").json["session_id"]

    assert join_tokens(resume_stream(workers[1], ada, session_id)) == "One two three"


def test_events_are_created_from_the_message_if_not_stored(client, settings, identities, ada):
    session_id = post_query(client, ada, "What is 2 + 2?").json["session_id"]

    restarted = identities.trust(create_app(settings, embedder=WordEmbedder()))
    events = resume_stream(restarted.test_client(), ada, session_id)

    assert [name for _, name, _ in events] == ["session", "token", "citations", "done"]
    assert events[-1][2]["response"] == "2 + 2 = 4"


def test_events_of_failed_answer_end_with_the_error(scripted_client, model, ada):
    model.queue_replies(Reply(status=500), Reply(status=500))
    post_query(scripted_client, ada, "Anything?")
    session_id = scripted_client.get("/sessions", headers=ada).json["items"][0]["id"]

    assert resume_stream(scripted_client, ada, session_id)[-1][2]["code"] == "model_unavailable"


def test_deleting_a_conversation_deletes_its_stored_events(
    scripted_settings, valkey, identities, ada
):
    common = replace(scripted_settings.common, redis_url=valkey.url)
    app = create_app(replace(scripted_settings, common=common), embedder=WordEmbedder())
    client = identities.trust(app).test_client()
    session_id = post_query(client, ada, "Talk.").json["session_id"]
    assert valkey.client.keys("{suite}:agent:*")

    client.delete(f"/sessions/{session_id}", headers=ada)

    assert valkey.client.keys("{suite}:agent:*") == []
    response = client.get(f"/sessions/{session_id}/events", headers=ada)
    assert (response.status_code, response.json["code"]) == (404, "conversation_not_found")


def test_answer_continues_while_redis_does_not_respond(
    scripted_settings, valkey, model, identities, ada
):
    common = replace(scripted_settings.common, redis_url=valkey.url)
    app = create_app(replace(scripted_settings, common=common), embedder=WordEmbedder())
    client = identities.trust(app).test_client()
    model.queue_replies(Reply(text="One two three"))
    valkey.freeze()

    answer = post_query(client, ada, "Count.").json
    events = resume_stream(client, ada, answer["session_id"])
    valkey.thaw()

    assert answer["response"] == join_tokens(events) == "One two three"


@pytest.mark.parametrize("last_event_id", ["-1", "x", "1.5", "9" * 20, "²"])
def test_invalid_last_event_id_returns_400(client, ada, last_event_id):
    session_id = post_query(client, ada, "What is 2 + 2?").json["session_id"]
    headers = ada | {"Last-Event-ID": last_event_id}

    response = client.get(f"/sessions/{session_id}/events", headers=headers)

    assert (response.status_code, response.json["code"]) == (400, "invalid_last_event_id")


def test_events_of_other_users_and_unknown_runs_return_404(client, ada, bob):
    session_id = post_query(client, ada, "What is 2 + 2?").json["session_id"]

    foreign = client.get(f"/sessions/{session_id}/events", headers=bob)
    unknown = client.get(f"/sessions/{session_id}/events?run_id=run_x", headers=ada)

    assert (foreign.status_code, foreign.json["code"]) == (404, "conversation_not_found")
    assert (unknown.status_code, unknown.json["code"]) == (404, "run_not_found")
