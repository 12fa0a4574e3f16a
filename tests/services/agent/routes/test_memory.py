"""Long conversations: what is too much for the model is summed up, and nothing is lost."""

from dataclasses import replace

import pytest

from backend.services.agent.app import create_app
from tests.services.agent.stand_ins import Reply, WordEmbedder, ask

# Some 70 tokens: the budget of these tests holds four of them with their answers, and no more.
LONG = "The boiler was mended in {}. " + "It is a long story that went on and on. " * 6
BUDGET = 290
LAST = "When was the boiler mended first?"


@pytest.fixture
def forgetful(scripted_settings, identities):
    """An agent that may tell its model little of a conversation."""
    settings = replace(scripted_settings, history_tokens=BUDGET)
    return identities.trust(create_app(settings, embedder=WordEmbedder())).test_client()


def talk(client, ada, model, years):
    """A conversation with one long request for each of *years*; the id of its session."""
    session = {}
    for year in years:
        model.will(Reply(text=f"Noted {year}."))
        answer = ask(client, ada, LONG.format(year), **session).json
        session = {"session_id": answer["session_id"]}
    return session["session_id"]


def told(request):
    """The system prompt of a request to the model, and what was said word by word."""
    system, *said = request["messages"]
    return system["content"], [each["content"] for each in said]


def test_what_does_not_fit_is_summed_up_by_the_model(forgetful, model, ada):
    session_id = talk(forgetful, ada, model, range(2001, 2005))
    model.will(Reply(text="The boiler: 2001, 2002, 2003."), Reply(text="In 2001."))

    answer = ask(forgetful, ada, LAST, session_id=session_id).json

    summing, asked = model.requests[-2:]
    assert "2001" in summing["messages"][1]["content"]
    assert "tools" not in summing
    system, said = told(asked)
    assert "The boiler: 2001, 2002, 2003." in system
    assert said[0].startswith("The boiler was mended in 200")
    assert said[-1] == LAST
    assert not any("2001" in each for each in said)
    assert answer["response"] == "In 2001."
    assert answer["usage"]["prompt_tokens"] == 22


def test_a_summary_is_used_again_and_then_extended(forgetful, model, ada):
    session_id = talk(forgetful, ada, model, range(2001, 2005))
    model.will(Reply(text="SUMMARY ONE"), Reply(text="x"), Reply(text="y"))
    ask(forgetful, ada, LAST, session_id=session_id)
    asked = len(model.requests)

    ask(forgetful, ada, "And then?", session_id=session_id)

    assert len(model.requests) == asked + 1
    assert "SUMMARY ONE" in told(model.requests[-1])[0]

    model.will(Reply(text="Yes."), Reply(text="Yes."), Reply(text="SUMMARY TWO"), Reply(text="z"))
    for year in (2005, 2006, 2007):
        ask(forgetful, ada, LONG.format(year), session_id=session_id)
    written = [each for each in model.requests if "SUMMARY ONE" in each["messages"][1]["content"]]
    assert len(written) == 1
    assert "SUMMARY TWO" in told(model.requests[-1])[0]


def test_no_message_is_lost_to_its_owner(forgetful, model, ada):
    session_id = talk(forgetful, ada, model, range(2001, 2009))

    shown = forgetful.get(f"/sessions/{session_id}", headers=ada).json["messages"]

    assert [each["role"] for each in shown] == ["user", "assistant"] * 8
    assert shown[0]["content"].startswith("The boiler was mended in 2001.")


def test_a_summary_that_fails_is_made_of_first_sentences(forgetful, model, ada):
    session_id = talk(forgetful, ada, model, range(2001, 2005))
    model.will(Reply(status=500), Reply(status=500), Reply(text="In 2001."))

    answer = ask(forgetful, ada, LAST, session_id=session_id)

    assert answer.json["response"] == "In 2001."
    system, _ = told(model.requests[-1])
    assert "They asked: The boiler was mended in 2001." in system
    assert "It is a long story" not in system


def test_another_branch_is_not_summed_up_with_this_one(forgetful, model, ada):
    session_id = talk(forgetful, ada, model, range(2001, 2005))
    model.will(Reply(text="SUMMARY"), Reply(text="x"), Reply(text="Afresh."))
    ask(forgetful, ada, LAST, session_id=session_id)
    first = forgetful.get(f"/sessions/{session_id}", headers=ada).json["messages"][0]["id"]

    forgetful.post(
        f"/sessions/{session_id}/messages/{first}/edit",
        json={"user_request": "Something else."},
        headers=ada,
    )

    system, said = told(model.requests[-1])
    assert "SUMMARY" not in system
    assert said == ["Something else."]


def test_the_embedded_tier_sums_up_by_itself(settings, identities, ada):
    settings = replace(settings, history_tokens=BUDGET)
    client = identities.trust(create_app(settings, embedder=WordEmbedder())).test_client()
    session = {}
    for number in range(12):
        request = f"What is {number} + 1? " + "Please work it out for me. " * 8
        answer = ask(client, ada, request, **session)
        session = {"session_id": answer.json["session_id"]}
        assert answer.status_code == 200
