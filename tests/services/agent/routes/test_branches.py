"""Edited requests and answers written again: branches of one conversation."""

import pytest

from tests.services.agent.stand_ins import Reply, ask


@pytest.fixture
def shown(scripted, ada):
    """The active branch of a conversation, as pairs of role and text, and as it came."""

    def shown(session_id):
        found = scripted.get(f"/sessions/{session_id}", headers=ada).json
        return [each["content"] for each in found["messages"]], found["messages"]

    return shown


@pytest.fixture
def twice(scripted, model, ada):
    """A conversation of two requests with their answers."""
    model.will(Reply(text="A1"), Reply(text="A2"))
    session_id = ask(scripted, ada, "Q1").json["session_id"]
    ask(scripted, ada, "Q2", session_id=session_id)
    return session_id


def test_an_edited_request_begins_a_branch(scripted, model, ada, twice, shown):
    _, before = shown(twice)
    model.will(Reply(text="B1"))

    edited = scripted.post(
        f"/sessions/{twice}/messages/{before[0]['id']}/edit",
        json={"user_request": "Q1, in other words"},
        headers=ada,
    )

    assert edited.json["response"] == "B1"
    texts, after = shown(twice)
    assert texts == ["Q1, in other words", "B1"]
    assert after[0]["alternatives"] == [before[0]["id"], after[0]["id"]]
    assert "Q2" not in str(model.requests[-1]["messages"])


def test_an_answer_written_again_stands_beside_the_first(scripted, model, ada, twice, shown):
    _, before = shown(twice)
    model.will(Reply(text="A2 again"), Reply(text="A3"))

    again = scripted.post(f"/sessions/{twice}/messages/{before[3]['id']}/regenerate", headers=ada)
    ask(scripted, ada, "Q3", session_id=twice)

    assert again.json["response"] == "A2 again"
    texts, after = shown(twice)
    assert texts == ["Q1", "A1", "Q2", "A2 again", "Q3", "A3"]
    assert after[3]["alternatives"] == [before[3]["id"], after[3]["id"]]
    assert [each["content"] for each in model.requests[-1]["messages"][1:]] == texts[:-1]


def test_a_branch_is_switched_to_and_gone_on_with(scripted, model, ada, twice, shown):
    _, before = shown(twice)
    model.will(Reply(text="B1"), Reply(text="A3"))
    edit = f"/sessions/{twice}/messages/{before[0]['id']}/edit"
    scripted.post(edit, json={"user_request": "Q1b"}, headers=ada)

    switched = scripted.patch(
        f"/sessions/{twice}", json={"active_message_id": before[0]["id"]}, headers=ada
    ).json
    ask(scripted, ada, "Q3", session_id=twice)

    assert [each["content"] for each in switched["messages"]] == ["Q1", "A1", "Q2", "A2"]
    assert shown(twice)[0] == ["Q1", "A1", "Q2", "A2", "Q3", "A3"]
    assert [each["content"] for each in model.requests[-1]["messages"][1:]] == [
        "Q1",
        "A1",
        "Q2",
        "A2",
        "Q3",
    ]


def test_only_ones_own_request_is_edited(scripted, ada, twice, shown):
    answer = shown(twice)[1][1]["id"]
    body = {"user_request": "x"}

    refused = scripted.post(f"/sessions/{twice}/messages/{answer}/edit", json=body, headers=ada)
    unknown = scripted.post(f"/sessions/{twice}/messages/msg_x/edit", json=body, headers=ada)

    assert (refused.status_code, refused.json["code"]) == (422, "not_your_request")
    assert (unknown.status_code, unknown.json["code"]) == (404, "message_not_found")
    assert shown(twice)[0] == ["Q1", "A1", "Q2", "A2"]


def test_a_message_of_another_conversation_is_not_found(scripted, model, ada, twice, shown):
    model.will(Reply(text="C1"))
    other = ask(scripted, ada, "Another").json["session_id"]
    foreign = shown(other)[1][0]["id"]

    answers = [
        scripted.post(f"/sessions/{twice}/messages/{foreign}/regenerate", headers=ada),
        scripted.patch(f"/sessions/{twice}", json={"active_message_id": foreign}, headers=ada),
    ]

    assert {each.json["code"] for each in answers} == {"message_not_found"}


def test_a_conversation_is_renamed(scripted, ada, twice):
    named = scripted.patch(f"/sessions/{twice}", json={"title": " Lease "}, headers=ada).json

    assert named["title"] == "Lease"
    blank = scripted.patch(f"/sessions/{twice}", json={"title": " "}, headers=ada)
    assert blank.status_code == 422


def test_conversations_are_found_by_title_and_by_what_was_said(scripted, model, ada, bob):
    model.will(Reply(text="Dreißig, ÜBRIGENS."), Reply(text="Hello."), Reply(text="x"))
    first = ask(scripted, ada, "How high is the discount?").json["session_id"]
    second = ask(scripted, ada, "Good morning, 100%").json["session_id"]
    ask(scripted, bob, "A discount for me?")

    def found(text):
        items = scripted.get("/sessions", query_string={"q": text}, headers=ada).json["items"]
        return [each["id"] for each in items]

    assert found("DISCOUNT") == [first]
    assert found("übrigens") == [first]
    assert found("%") == [second]
    assert found("nothing of the kind") == []
