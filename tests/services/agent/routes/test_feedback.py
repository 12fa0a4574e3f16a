"""Tests of feedback on answers."""

import pytest

from tests.services.agent.fakes import post_query


@pytest.fixture
def session_id(client, ada):
    """Id of a session of Ada with one answer."""
    return post_query(client, ada, "What is 6 times 7?").json["session_id"]


@pytest.fixture
def admin(identities):
    """Credentials of an administrator of Ada's tenant."""
    return identities.bearer(
        "user-admin", tenant_id="tenant-of-user-ada", permissions=["agent:query", "audit:read"]
    )


def submit_feedback(client, bearer, session_id, **body):
    return client.post(f"/sessions/{session_id}/feedback", json=body, headers=bearer)


def get_messages(client, bearer, session_id):
    return client.get(f"/sessions/{session_id}", headers=bearer).json["messages"]


def test_feedback_applies_to_the_last_answer_by_default(client, ada, session_id):
    post_query(client, ada, "And 7 times 8?", session_id=session_id)
    _, first, _, last = get_messages(client, ada, session_id)

    on_last = submit_feedback(client, ada, session_id, thumb="up")
    on_first = submit_feedback(
        client, ada, session_id, thumb="down", text=" Too short. ", message_id=first["id"]
    )

    assert (on_last.status_code, on_last.json["message_id"]) == (201, last["id"])
    assert on_first.json["message_id"] == first["id"]
    assert (on_first.json["text"], on_first.json["model"]) == ("Too short.", "embedded-lite")
    listed = client.get(f"/sessions/{session_id}/feedback", headers=ada).json["items"]
    assert [entry["id"] for entry in listed] == [on_first.json["id"], on_last.json["id"]]


def test_second_feedback_replaces_the_first(client, ada, session_id):
    first = submit_feedback(client, ada, session_id, thumb="up", text="Good.")
    second = submit_feedback(client, ada, session_id, thumb="down")

    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json["id"] == first.json["id"]
    (entry,) = client.get(f"/sessions/{session_id}/feedback", headers=ada).json["items"]
    assert (entry["thumb"], entry["text"]) == ("down", "")


def test_feedback_is_deleted_on_request_and_with_its_conversation(client, ada, admin, session_id):
    message_id = submit_feedback(client, ada, session_id, thumb="up").json["message_id"]
    path = f"/sessions/{session_id}/feedback/{message_id}"

    assert client.delete(path, headers=ada).status_code == 204
    assert client.delete(path, headers=ada).json["code"] == "feedback_not_found"

    submit_feedback(client, ada, session_id, thumb="up")
    client.delete(f"/sessions/{session_id}", headers=ada)
    assert client.get("/feedback", headers=admin).json["items"] == []


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({}, id="no thumb"),
        pytest.param({"thumb": "sideways"}, id="invalid thumb"),
        pytest.param({"thumb": "up", "text": "x" * 4001}, id="text too long"),
        pytest.param({"thumb": "up", "user_id": "user-bob"}, id="unknown field"),
        pytest.param({"thumb": "up", "text": "a\x00b"}, id="NUL character"),
    ],
)
def test_feedback_rejects_invalid_body(client, ada, session_id, body):
    assert submit_feedback(client, ada, session_id, **body).status_code == 422


def test_feedback_rejects_user_messages_and_messages_of_other_conversations(
    client, ada, session_id
):
    request, _ = get_messages(client, ada, session_id)
    other = post_query(client, ada, "What is 2 + 2?").json["session_id"]
    _, elsewhere = get_messages(client, ada, other)

    refused = submit_feedback(client, ada, session_id, thumb="up", message_id=request["id"])
    unknown = submit_feedback(client, ada, session_id, thumb="up", message_id=elsewhere["id"])

    assert (refused.status_code, refused.json["code"]) == (422, "not_an_answer")
    assert (unknown.status_code, unknown.json["code"]) == (404, "message_not_found")


def test_feedback_on_another_users_conversation_returns_404(client, ada, bob, session_id):
    message_id = submit_feedback(client, ada, session_id, thumb="up").json["message_id"]

    for response in (
        submit_feedback(client, bob, session_id, thumb="up"),
        client.get(f"/sessions/{session_id}/feedback", headers=bob),
        client.delete(f"/sessions/{session_id}/feedback/{message_id}", headers=bob),
    ):
        assert (response.status_code, response.json["code"]) == (404, "conversation_not_found")


def test_administrators_list_the_feedback_of_their_tenant(client, ada, admin, identities):
    bob = identities.bearer("user-bob", tenant_id="tenant-of-user-ada")
    for bearer, thumb in ((ada, "up"), (ada, "down"), (bob, "down")):
        session_id = post_query(client, bearer, "What is 2 + 2?").json["session_id"]
        submit_feedback(client, bearer, session_id, thumb=thumb)
    stranger = identities.bearer(
        "user-eve", tenant_id="tenant-elsewhere", permissions=["agent:query", "audit:read"]
    )

    def list_feedback(bearer=admin, **query):
        return client.get("/feedback", query_string=query, headers=bearer).json

    assert [entry["thumb"] for entry in list_feedback()["items"]] == ["down", "down", "up"]
    assert [entry["user_id"] for entry in list_feedback(thumb="down")["items"]] == [
        "user-bob",
        "user-ada",
    ]
    assert len(list_feedback(user_id="user-ada")["items"]) == 2
    assert len(list_feedback(model="embedded-lite")["items"]) == 3
    assert list_feedback(since="2999-01-01T00:00:00Z")["items"] == []
    assert len(list_feedback(until="2999-01-01T00:00:00Z")["items"]) == 3
    assert list_feedback(stranger)["items"] == []
    page = list_feedback(limit=2)
    rest = list_feedback(limit=2, cursor=page["next_cursor"])
    assert (len(page["items"]), len(rest["items"]), rest["next_cursor"]) == (2, 1, None)
    assert client.get("/feedback?cursor=bm9wZQ", headers=admin).status_code == 422
    assert client.get("/feedback?since=1700000000", headers=admin).status_code == 422
    assert client.get("/feedback", headers=ada).status_code == 403
