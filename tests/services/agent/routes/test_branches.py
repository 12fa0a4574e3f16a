"""Tests of branches: edited requests and regenerated answers."""

import pytest

from tests.services.agent.fakes import Reply, post_query


@pytest.fixture
def get_branch(scripted_client, ada):
    """Return a function that returns the texts and messages of the active branch."""

    def get_branch(session_id):
        session = scripted_client.get(f"/sessions/{session_id}", headers=ada).json
        return [message["content"] for message in session["messages"]], session["messages"]

    return get_branch


@pytest.fixture
def session_id(scripted_client, model, ada):
    """Id of a session with two requests and their answers."""
    model.queue_replies(Reply(text="A1"), Reply(text="A2"))
    session_id = post_query(scripted_client, ada, "Q1").json["session_id"]
    post_query(scripted_client, ada, "Q2", session_id=session_id)
    return session_id


def test_edited_request_starts_a_branch(scripted_client, model, ada, session_id, get_branch):
    _, before = get_branch(session_id)
    model.queue_replies(Reply(text="B1"))

    edited = scripted_client.post(
        f"/sessions/{session_id}/messages/{before[0]['id']}/edit",
        json={"user_request": "Q1, in other words"},
        headers=ada,
    )

    assert edited.json["response"] == "B1"
    texts, after = get_branch(session_id)
    assert texts == ["Q1, in other words", "B1"]
    assert after[0]["alternatives"] == [before[0]["id"], after[0]["id"]]
    assert "Q2" not in str(model.requests[-1]["messages"])


def test_regenerated_answer_is_an_alternative_of_the_first(
    scripted_client, model, ada, session_id, get_branch
):
    _, before = get_branch(session_id)
    model.queue_replies(Reply(text="A2 again"), Reply(text="A3"))

    regenerated = scripted_client.post(
        f"/sessions/{session_id}/messages/{before[3]['id']}/regenerate", headers=ada
    )
    post_query(scripted_client, ada, "Q3", session_id=session_id)

    assert regenerated.json["response"] == "A2 again"
    texts, after = get_branch(session_id)
    assert texts == ["Q1", "A1", "Q2", "A2 again", "Q3", "A3"]
    assert after[3]["alternatives"] == [before[3]["id"], after[3]["id"]]
    assert [message["content"] for message in model.requests[-1]["messages"][1:]] == texts[:-1]


def test_conversation_continues_in_the_activated_branch(
    scripted_client, model, ada, session_id, get_branch
):
    _, before = get_branch(session_id)
    model.queue_replies(Reply(text="B1"), Reply(text="A3"))
    edit = f"/sessions/{session_id}/messages/{before[0]['id']}/edit"
    scripted_client.post(edit, json={"user_request": "Q1b"}, headers=ada)

    switched = scripted_client.patch(
        f"/sessions/{session_id}", json={"active_message_id": before[0]["id"]}, headers=ada
    ).json
    post_query(scripted_client, ada, "Q3", session_id=session_id)

    assert [message["content"] for message in switched["messages"]] == ["Q1", "A1", "Q2", "A2"]
    assert get_branch(session_id)[0] == ["Q1", "A1", "Q2", "A2", "Q3", "A3"]
    assert [message["content"] for message in model.requests[-1]["messages"][1:]] == [
        "Q1",
        "A1",
        "Q2",
        "A2",
        "Q3",
    ]


def test_only_user_messages_can_be_edited(scripted_client, ada, session_id, get_branch):
    answer = get_branch(session_id)[1][1]["id"]
    body = {"user_request": "x"}

    refused = scripted_client.post(
        f"/sessions/{session_id}/messages/{answer}/edit", json=body, headers=ada
    )
    unknown = scripted_client.post(
        f"/sessions/{session_id}/messages/msg_x/edit", json=body, headers=ada
    )

    assert (refused.status_code, refused.json["code"]) == (422, "not_your_request")
    assert (unknown.status_code, unknown.json["code"]) == (404, "message_not_found")
    assert get_branch(session_id)[0] == ["Q1", "A1", "Q2", "A2"]


def test_message_of_another_conversation_returns_404(
    scripted_client, model, ada, session_id, get_branch
):
    model.queue_replies(Reply(text="C1"))
    other = post_query(scripted_client, ada, "Another").json["session_id"]
    foreign = get_branch(other)[1][0]["id"]

    responses = [
        scripted_client.post(f"/sessions/{session_id}/messages/{foreign}/regenerate", headers=ada),
        scripted_client.patch(
            f"/sessions/{session_id}", json={"active_message_id": foreign}, headers=ada
        ),
    ]

    assert {response.json["code"] for response in responses} == {"message_not_found"}


def test_session_can_be_renamed(scripted_client, ada, session_id):
    renamed = scripted_client.patch(
        f"/sessions/{session_id}", json={"title": " Lease "}, headers=ada
    ).json

    assert renamed["title"] == "Lease"
    blank = scripted_client.patch(f"/sessions/{session_id}", json={"title": " "}, headers=ada)
    assert blank.status_code == 422


def test_session_search_finds_titles_and_messages(scripted_client, model, ada, bob):
    model.queue_replies(Reply(text="Dreißig, ÜBRIGENS."), Reply(text="Hello."), Reply(text="x"))
    first = post_query(scripted_client, ada, "How high is the discount?").json["session_id"]
    second = post_query(scripted_client, ada, "Good morning, 100%").json["session_id"]
    post_query(scripted_client, bob, "A discount for me?")

    def search(text):
        items = scripted_client.get("/sessions", query_string={"q": text}, headers=ada).json[
            "items"
        ]
        return [item["id"] for item in items]

    assert search("DISCOUNT") == [first]
    assert search("übrigens") == [first]
    assert search("%") == [second]
    assert search("no such text") == []
