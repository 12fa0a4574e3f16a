"""A stream that is left and come back to, at this worker or at another."""

import queue
import threading
from contextlib import contextmanager
from dataclasses import replace

import pytest

from backend.services.agent.app import create_app
from tests.services.agent.stand_ins import Reply, WordEmbedder, ask, numbered

TALK = {"user_request": "Talk.", "stream": True}
GOING_ON = TALK | {"on_disconnect": "continue"}


@pytest.fixture(params=["in memory", "in redis"])
def workers(request, scripted_settings, identities):
    """Two workers of one agent; where events are kept in memory, they are the same one."""
    if request.param == "in memory":
        app = request.getfixturevalue("scripted_app")
        return [app.test_client(), app.test_client()]
    url = request.getfixturevalue("valkey").url
    common = replace(scripted_settings.common, redis_url=url)
    shared = replace(scripted_settings, common=common)
    apps = [create_app(shared, embedder=WordEmbedder()) for _ in range(2)]
    return [identities.trust(app).test_client() for app in apps]


@contextmanager
def left(worker, ada, body):
    """A stream that is left after its first word: the events so far.

    All of it in one thread, as a server does it.
    """
    told = queue.SimpleQueue()

    def listen():
        response = worker.post("/query", json=body, headers=ada, buffered=False)
        stream, text = response.iter_encoded(), ""
        while "event: token" not in text:
            text += next(stream).decode()
        told.put(numbered(text))
        response.close()

    listening = threading.Thread(target=listen)
    listening.start()
    yield told.get(timeout=10)
    listening.join(10)
    assert not listening.is_alive()


def follow(worker, ada, session_id, after=0, **query):
    response = worker.get(
        f"/sessions/{session_id}/events",
        query_string=query,
        headers=ada | {"Last-Event-ID": str(after)},
    )
    assert response.status_code == 200, response.text
    return numbered(response.get_data(as_text=True))


def text_of(found):
    return "".join(data["text"] for _, name, data in found if name == "token")


def test_events_are_numbered_and_say_what_they_belong_to(scripted, model, ada):
    model.will(Reply(text="One two three"))

    found = numbered(scripted.post("/query", json=TALK, headers=ada).get_data(as_text=True))

    assert [number for number, *_ in found] == list(range(1, len(found) + 1))
    begun, done = found[0][2], found[-1][2]
    shown = scripted.get(f"/sessions/{begun['session_id']}", headers=ada).json["messages"]
    assert [each["id"] for each in shown] == [begun["parent_id"], begun["message_id"]]
    assert done["message_id"] == begun["message_id"]


def test_who_comes_back_misses_nothing(workers, model, ada):
    model.will(Reply(text="word " * 12, pause=0.05))
    with left(workers[0], ada, GOING_ON) as first:
        session_id, run_id = first[0][2]["session_id"], first[0][2]["run_id"]
        rest = follow(workers[1], ada, session_id, first[-1][0], run_id=run_id)
    whole = follow(workers[1], ada, session_id)

    assert [each[0] for each in first + rest] == list(range(1, len(first + rest) + 1))
    assert rest[-1][1] == "done"
    assert text_of(first + rest) == rest[-1][2]["response"] == " ".join(["word"] * 12)
    assert whole == first + rest


@pytest.mark.alone
def test_a_stream_that_is_left_is_cancelled_unless_it_shall_go_on(workers, model, ada):
    model.will(Reply(text="word " * 100, pause=0.05))

    with left(workers[0], ada, TALK) as first:
        assert model.left.wait(2)

    rest = follow(workers[1], ada, first[0][2]["session_id"], first[-1][0])
    assert rest[-1][2]["finish_reason"] == "cancelled"


@pytest.mark.alone
def test_what_goes_on_can_be_cancelled(workers, model, ada):
    model.will(Reply(text="word " * 100, pause=0.05))

    with left(workers[0], ada, GOING_ON) as first:
        session_id = first[0][2]["session_id"]
        workers[1].post(f"/sessions/{session_id}/cancel", headers=ada)
        rest = follow(workers[1], ada, session_id, first[-1][0])

    assert rest[-1][2]["finish_reason"] == "cancelled"
    assert model.left.wait(2)


@pytest.mark.alone
def test_what_goes_on_ends_with_its_callers_session(scripted, model, identities, ada):
    model.will(Reply(text="word " * 100, pause=0.05))

    with left(scripted, ada, GOING_ON):
        identities.revocations.end_session("session-of-user-ada", 600)

    assert model.left.wait(2)


def test_a_plain_answer_is_followed_too(workers, model, ada):
    model.will(Reply(text="One two three"))
    session_id = ask(workers[0], ada, "Count.").json["session_id"]

    assert text_of(follow(workers[1], ada, session_id)) == "One two three"


def test_an_answer_whose_events_are_forgotten_is_told_from_its_message(
    client, settings, identities, ada
):
    session_id = ask(client, ada, "What is 2 + 2?").json["session_id"]

    restarted = identities.trust(create_app(settings, embedder=WordEmbedder()))
    found = follow(restarted.test_client(), ada, session_id)

    assert [name for _, name, _ in found] == ["session", "token", "citations", "done"]
    assert found[-1][2]["response"] == "2 + 2 = 4"


def test_a_failed_answer_is_told_as_one(scripted, model, ada):
    model.will(Reply(status=500), Reply(status=500))
    ask(scripted, ada, "Anything?")
    session_id = scripted.get("/sessions", headers=ada).json["items"][0]["id"]

    assert follow(scripted, ada, session_id)[-1][2]["code"] == "model_unavailable"


def test_nothing_of_a_deleted_conversation_is_kept(scripted_settings, valkey, identities, ada):
    common = replace(scripted_settings.common, redis_url=valkey.url)
    app = create_app(replace(scripted_settings, common=common), embedder=WordEmbedder())
    client = identities.trust(app).test_client()
    session_id = ask(client, ada, "Talk.").json["session_id"]
    assert valkey.client.keys("{suite}:agent:*")

    client.delete(f"/sessions/{session_id}", headers=ada)

    assert valkey.client.keys("{suite}:agent:*") == []
    gone = client.get(f"/sessions/{session_id}/events", headers=ada)
    assert (gone.status_code, gone.json["code"]) == (404, "conversation_not_found")


def test_an_answer_goes_on_while_redis_is_silent(scripted_settings, valkey, model, identities, ada):
    common = replace(scripted_settings.common, redis_url=valkey.url)
    app = create_app(replace(scripted_settings, common=common), embedder=WordEmbedder())
    client = identities.trust(app).test_client()
    model.will(Reply(text="One two three"))
    valkey.freeze()

    answer = ask(client, ada, "Count.").json
    found = follow(client, ada, answer["session_id"])
    valkey.thaw()

    assert answer["response"] == text_of(found) == "One two three"


@pytest.mark.parametrize("given", ["-1", "x", "1.5", "9" * 20, "²"])
def test_a_made_up_last_event_id_is_refused(client, ada, given):
    session_id = ask(client, ada, "What is 2 + 2?").json["session_id"]
    headers = ada | {"Last-Event-ID": given}

    response = client.get(f"/sessions/{session_id}/events", headers=headers)

    assert (response.status_code, response.json["code"]) == (400, "invalid_last_event_id")


def test_ones_own_runs_alone_are_followed(client, ada, bob):
    session_id = ask(client, ada, "What is 2 + 2?").json["session_id"]

    foreign = client.get(f"/sessions/{session_id}/events", headers=bob)
    unknown = client.get(f"/sessions/{session_id}/events?run_id=run_x", headers=ada)

    assert (foreign.status_code, foreign.json["code"]) == (404, "conversation_not_found")
    assert (unknown.status_code, unknown.json["code"]) == (404, "run_not_found")
