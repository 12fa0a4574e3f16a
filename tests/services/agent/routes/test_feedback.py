"""What people think of answers."""

import pytest

from tests.services.agent.stand_ins import ask


@pytest.fixture
def answered(client, ada):
    """A conversation of Ada's with one answer."""
    return ask(client, ada, "What is 6 times 7?").json["session_id"]


@pytest.fixture
def chief(identities):
    """Who administers the tenant that Ada is in."""
    return identities.bearer(
        "user-chief", tenant_id="tenant-of-user-ada", permissions=["agent:query", "audit:read"]
    )


def give(client, bearer, session_id, **body):
    return client.post(f"/sessions/{session_id}/feedback", json=body, headers=bearer)


def messages(client, bearer, session_id):
    return client.get(f"/sessions/{session_id}", headers=bearer).json["messages"]


def test_an_opinion_is_on_the_last_answer_unless_it_names_another(client, ada, answered):
    ask(client, ada, "And 7 times 8?", session_id=answered)
    _, first, _, last = messages(client, ada, answered)

    on_last = give(client, ada, answered, thumb="up")
    on_first = give(
        client, ada, answered, thumb="down", text=" Too short. ", message_id=first["id"]
    )

    assert (on_last.status_code, on_last.json["message_id"]) == (201, last["id"])
    assert on_first.json["message_id"] == first["id"]
    assert (on_first.json["text"], on_first.json["model"]) == ("Too short.", "embedded-lite")
    listed = client.get(f"/sessions/{answered}/feedback", headers=ada).json["items"]
    assert [each["id"] for each in listed] == [on_first.json["id"], on_last.json["id"]]


def test_there_is_one_of_each_person_and_the_latest_counts(client, ada, answered):
    first = give(client, ada, answered, thumb="up", text="Good.")
    second = give(client, ada, answered, thumb="down")

    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json["id"] == first.json["id"]
    (kept,) = client.get(f"/sessions/{answered}/feedback", headers=ada).json["items"]
    assert (kept["thumb"], kept["text"]) == ("down", "")


def test_it_is_taken_back_and_goes_with_its_conversation(client, ada, chief, answered):
    message_id = give(client, ada, answered, thumb="up").json["message_id"]
    path = f"/sessions/{answered}/feedback/{message_id}"

    assert client.delete(path, headers=ada).status_code == 204
    assert client.delete(path, headers=ada).json["code"] == "feedback_not_found"

    give(client, ada, answered, thumb="up")
    client.delete(f"/sessions/{answered}", headers=ada)
    assert client.get("/feedback", headers=chief).json["items"] == []


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({}, id="no thumb"),
        pytest.param({"thumb": "sideways"}, id="no such thumb"),
        pytest.param({"thumb": "up", "text": "x" * 4001}, id="a text too long"),
        pytest.param({"thumb": "up", "user_id": "user-bob"}, id="for somebody else"),
        pytest.param({"thumb": "up", "text": "a\x00b"}, id="a NUL"),
    ],
)
def test_what_is_no_opinion_is_refused(client, ada, answered, body):
    assert give(client, ada, answered, **body).status_code == 422


def test_it_is_given_on_answers_of_that_conversation_alone(client, ada, answered):
    request, _ = messages(client, ada, answered)
    other = ask(client, ada, "What is 2 + 2?").json["session_id"]
    _, elsewhere = messages(client, ada, other)

    refused = give(client, ada, answered, thumb="up", message_id=request["id"])
    unknown = give(client, ada, answered, thumb="up", message_id=elsewhere["id"])

    assert (refused.status_code, refused.json["code"]) == (422, "not_an_answer")
    assert (unknown.status_code, unknown.json["code"]) == (404, "message_not_found")


def test_somebody_elses_conversation_is_none(client, ada, bob, answered):
    message_id = give(client, ada, answered, thumb="up").json["message_id"]

    for response in (
        give(client, bob, answered, thumb="up"),
        client.get(f"/sessions/{answered}/feedback", headers=bob),
        client.delete(f"/sessions/{answered}/feedback/{message_id}", headers=bob),
    ):
        assert (response.status_code, response.json["code"]) == (404, "conversation_not_found")


def test_administrators_see_their_tenants_page_by_page(client, ada, chief, identities):
    bob = identities.bearer("user-bob", tenant_id="tenant-of-user-ada")
    for bearer, thumb in ((ada, "up"), (ada, "down"), (bob, "down")):
        session_id = ask(client, bearer, "What is 2 + 2?").json["session_id"]
        give(client, bearer, session_id, thumb=thumb)
    stranger = identities.bearer(
        "user-eve", tenant_id="tenant-elsewhere", permissions=["agent:query", "audit:read"]
    )

    def seen(bearer=chief, **query):
        return client.get("/feedback", query_string=query, headers=bearer).json

    assert [each["thumb"] for each in seen()["items"]] == ["down", "down", "up"]
    assert [each["user_id"] for each in seen(thumb="down")["items"]] == ["user-bob", "user-ada"]
    assert len(seen(user_id="user-ada")["items"]) == 2
    assert len(seen(model="embedded-lite")["items"]) == 3
    assert seen(since="2999-01-01T00:00:00Z")["items"] == []
    assert len(seen(until="2999-01-01T00:00:00Z")["items"]) == 3
    assert seen(stranger)["items"] == []
    page = seen(limit=2)
    rest = seen(limit=2, cursor=page["next_cursor"])
    assert (len(page["items"]), len(rest["items"]), rest["next_cursor"]) == (2, 1, None)
    assert client.get("/feedback?cursor=bm9wZQ", headers=chief).status_code == 422
    assert client.get("/feedback?since=1700000000", headers=chief).status_code == 422
    assert client.get("/feedback", headers=ada).status_code == 403
