"""Sessions of the chat service: messages without an answer, and references of requests."""

from tests.services.agent.fakes import parse_events

ASK = {"user_request": "What is 6 times 7?"}


def test_request_with_a_known_reference_returns_the_first_answer(client, identities):
    ada = identities.bearer()
    body = ASK | {"request_ref": "conv_1:3", "origin": "chat"}

    first = client.post("/query", json=body, headers=ada)
    repeated = client.post("/query", json=body, headers=ada)

    assert first.status_code == repeated.status_code == 200
    assert repeated.json["message_id"] == first.json["message_id"]
    session = client.get(f"/sessions/{first.json['session_id']}", headers=ada).json
    assert [message["role"] for message in session["messages"]] == ["user", "assistant"]


def test_repeated_reference_streams_the_first_answer(client, identities):
    ada = identities.bearer()
    body = ASK | {"request_ref": "conv_1:3", "stream": True}
    first = parse_events(client.post("/query", json=body, headers=ada))

    repeated = parse_events(client.post("/query", json=body, headers=ada))

    assert repeated[-1] == first[-1]


def test_reference_of_another_user_starts_a_run_of_its_own(client, identities):
    body = ASK | {"request_ref": "conv_1:3"}
    first = client.post("/query", json=body, headers=identities.bearer()).json

    second = client.post("/query", json=body, headers=identities.bearer("user-bob")).json

    assert second["session_id"] != first["session_id"]


def test_sessions_of_chat_are_not_listed_but_are_found_by_id(client, identities):
    ada = identities.bearer()
    created = client.post(
        "/sessions",
        json={
            "origin": "chat",
            "messages": [
                {"role": "user", "content": "My name is Ada."},
                {"role": "assistant", "content": "Hello Ada."},
            ],
        },
        headers=ada,
    )

    assert created.status_code == 201
    assert client.get("/sessions", headers=ada).json["items"] == []
    found = client.get(f"/sessions/{created.json['id']}", headers=ada).json
    assert [message["content"] for message in found["messages"]] == [
        "My name is Ada.",
        "Hello Ada.",
    ]
    bob = identities.bearer("user-bob")
    assert client.get(f"/sessions/{created.json['id']}", headers=bob).status_code == 404


def test_appended_messages_are_part_of_the_conversation_without_an_answer(client, identities):
    ada = identities.bearer()
    session_id = client.post("/query", json=ASK, headers=ada).json["session_id"]
    messages = [{"role": "assistant", "content": "A colleague takes over."}]

    appended = client.post(
        f"/sessions/{session_id}/messages", json={"messages": messages}, headers=ada
    )
    answer = client.post("/query", json=ASK | {"session_id": session_id}, headers=ada)

    assert appended.status_code == 201
    assert answer.status_code == 200
    texts = [
        m["content"] for m in client.get(f"/sessions/{session_id}", headers=ada).json["messages"]
    ]
    assert texts[2] == "A colleague takes over."
    assert len(texts) == 5
    bob = identities.bearer("user-bob")
    foreign = client.post(
        f"/sessions/{session_id}/messages", json={"messages": messages}, headers=bob
    )
    assert foreign.status_code == 404
