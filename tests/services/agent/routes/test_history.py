"""Tests of summaries of long conversations."""

from dataclasses import replace

import pytest

from backend.services.agent.app import create_app
from tests.services.agent.fakes import Reply, WordEmbedder, post_query

# About 70 tokens. MAX_TOKENS is enough for four of them with their answers, but not for five.
LONG = "The boiler was repaired in {}. " + "It is a long story that went on and on. " * 6
MAX_TOKENS = 290
QUESTION = "When was the boiler repaired first?"


@pytest.fixture
def client(scripted_settings, identities):
    """A client of an agent with a low limit of history tokens."""
    settings = replace(scripted_settings, max_history_tokens=MAX_TOKENS)
    return identities.trust(create_app(settings, embedder=WordEmbedder())).test_client()


def create_session(client, ada, model, years):
    """Create a session with one long request for each of *years*, and return its id."""
    session = {}
    for year in years:
        model.queue_replies(Reply(text=f"Noted {year}."))
        answer = post_query(client, ada, LONG.format(year), **session).json
        session = {"session_id": answer["session_id"]}
    return session["session_id"]


def split_prompt(request):
    """Return the system prompt and the other messages of a request to the model."""
    system, *messages = request["messages"]
    return system["content"], [message["content"] for message in messages]


def test_messages_over_the_limit_are_summarized_by_the_model(client, model, ada):
    session_id = create_session(client, ada, model, range(2001, 2005))
    model.queue_replies(Reply(text="The boiler: 2001, 2002, 2003."), Reply(text="In 2001."))

    answer = post_query(client, ada, QUESTION, session_id=session_id).json

    summary_request, answer_request = model.requests[-2:]
    assert "2001" in summary_request["messages"][1]["content"]
    assert "tools" not in summary_request
    system, messages = split_prompt(answer_request)
    assert "The boiler: 2001, 2002, 2003." in system
    assert messages[0].startswith("The boiler was repaired in 200")
    assert messages[-1] == QUESTION
    assert not any("2001" in message for message in messages)
    assert answer["response"] == "In 2001."
    assert answer["usage"]["prompt_tokens"] == 22


def test_summary_is_reused_and_then_extended(client, model, ada):
    session_id = create_session(client, ada, model, range(2001, 2005))
    model.queue_replies(Reply(text="SUMMARY ONE"), Reply(text="x"), Reply(text="y"))
    post_query(client, ada, QUESTION, session_id=session_id)
    request_count = len(model.requests)

    post_query(client, ada, "And then?", session_id=session_id)

    assert len(model.requests) == request_count + 1
    assert "SUMMARY ONE" in split_prompt(model.requests[-1])[0]

    model.queue_replies(
        Reply(text="Yes."), Reply(text="Yes."), Reply(text="SUMMARY TWO"), Reply(text="z")
    )
    for year in (2005, 2006, 2007):
        post_query(client, ada, LONG.format(year), session_id=session_id)
    extensions = [
        request for request in model.requests if "SUMMARY ONE" in request["messages"][1]["content"]
    ]
    assert len(extensions) == 1
    assert "SUMMARY TWO" in split_prompt(model.requests[-1])[0]


def test_session_still_contains_summarized_messages(client, model, ada):
    session_id = create_session(client, ada, model, range(2001, 2009))

    messages = client.get(f"/sessions/{session_id}", headers=ada).json["messages"]

    assert [message["role"] for message in messages] == ["user", "assistant"] * 8
    assert messages[0]["content"].startswith("The boiler was repaired in 2001.")


@pytest.mark.slow
def test_failed_summary_is_replaced_by_first_sentences(client, model, ada):
    session_id = create_session(client, ada, model, range(2001, 2005))
    model.queue_replies(Reply(status=500), Reply(status=500), Reply(text="In 2001."))

    answer = post_query(client, ada, QUESTION, session_id=session_id)

    assert answer.json["response"] == "In 2001."
    system, _ = split_prompt(model.requests[-1])
    assert "The user: The boiler was repaired in 2001." in system
    assert "It is a long story" not in system


def test_summary_of_one_branch_is_not_used_in_another(client, model, ada):
    session_id = create_session(client, ada, model, range(2001, 2005))
    model.queue_replies(Reply(text="SUMMARY"), Reply(text="x"), Reply(text="New branch."))
    post_query(client, ada, QUESTION, session_id=session_id)
    first = client.get(f"/sessions/{session_id}", headers=ada).json["messages"][0]["id"]

    client.post(
        f"/sessions/{session_id}/messages/{first}/edit",
        json={"user_request": "Something else."},
        headers=ada,
    )

    system, messages = split_prompt(model.requests[-1])
    assert "SUMMARY" not in system
    assert messages == ["Something else."]


def test_rule_based_model_summarizes_without_a_model(settings, identities, ada):
    settings = replace(settings, max_history_tokens=MAX_TOKENS)
    client = identities.trust(create_app(settings, embedder=WordEmbedder())).test_client()
    session = {}
    for number in range(12):
        request = f"What is {number} + 1? " + "Please work it out for me. " * 8
        answer = post_query(client, ada, request, **session)
        session = {"session_id": answer.json["session_id"]}
        assert answer.status_code == 200
