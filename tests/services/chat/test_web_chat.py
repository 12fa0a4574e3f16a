"""Web chat: messages, answers, idempotency, rights, people who take over."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import OperationalError

from backend.chassis.web.app_factory import get_component
from backend.chassis.web.wait_slots import WaitSlots
from backend.services.chat.domain.answers import AnswerService
from backend.services.chat.store.tables import Account, Attachment, Conversation
from tests.services.agent.fakes import parse_events

HELLO = {"content": "Hello"}


def send(client, who, text="Hello", **fields):
    return client.post("/message", json={"content": text, **fields}, headers=who)


def test_message_is_answered_with_citations(client, ada):
    response = send(client, ada, "What is a bill?", channel="web", client_id="m-1")

    assert response.status_code == 201
    body = response.json
    assert body["status"] == "answered"
    assert body["message"]["content"] == {"type": "text", "text": "What is a bill?"}
    assert body["message"]["direction"] == "inbound"
    assert body["message"]["author"] == "user:user-ada"
    assert body["answer"]["content"]["text"] == "You said: What is a bill?"
    assert body["answer"]["citations"][0]["document_id"] == "doc_1"
    assert (body["message"]["seq"], body["answer"]["seq"]) == (1, 2)
    assert body["answer"]["author"] == "agent"


def test_second_message_continues_the_session_of_the_agent(client, ada, agent):
    first = send(client, ada, "One").json

    second = send(client, ada, "Two", conversation_id=first["conversation_id"]).json

    assert second["conversation_id"] == first["conversation_id"]
    assert second["answer"]["seq"] == 4
    assert agent.queries[1]["session_id"] == "session-1"
    assert [text for _, text in agent.sessions["session-1"]["messages"]] == [
        "One",
        "You said: One",
        "Two",
        "You said: Two",
    ]


def test_repeated_client_id_returns_the_first_message_and_answer(client, ada, agent):
    first = send(client, ada, client_id="m-1")

    again = send(client, ada, client_id="m-1")
    in_conversation = send(
        client, ada, client_id="m-1", conversation_id=first.json["conversation_id"]
    )

    assert (first.status_code, again.status_code, in_conversation.status_code) == (201, 200, 200)
    for response in (again, in_conversation):
        assert response.json["message"]["id"] == first.json["message"]["id"]
        assert response.json["answer"]["id"] == first.json["answer"]["id"]
    assert len(agent.queries) == 1


def test_without_wait_the_answer_is_written_by_the_worker(client, ada, agent, components):
    posted = client.post("/message?wait=0", json=HELLO, headers=ada)
    conversation_id = posted.json["conversation_id"]
    send(client, ada, "Again", conversation_id=conversation_id, client_id="x")

    # The request that waits answers both messages at once.
    assert posted.json["status"] == "accepted"
    assert posted.json["answer"] is None
    assert [query["user_request"] for query in agent.queries] == ["Hello\n\nAgain"]


def test_worker_answers_with_a_delegated_token_of_the_user(client, ada, agent, components):
    posted = client.post("/message?wait=0", json=HELLO, headers=ada).json
    components.database.engine.dispose()
    make_due(components)

    assert components.answers.answer_next() is True
    assert components.answers.answer_next() is False

    (delegation,) = agent.delegations
    assert delegation["session_id"] == "session-of-user-ada"
    assert delegation["tenant_id"] == "tenant-team"
    assert "rag:write" not in delegation["permissions"]
    assert delegation["service"] is True
    assert agent.queries[0]["authorization"] == "Bearer delegated-session-of-user-ada"
    rows = client.get(f"/conversations/{posted['conversation_id']}/messages", headers=ada).json[
        "items"
    ]
    assert [row["author"] for row in rows] == ["user:user-ada", "agent"]


def make_due(components):
    """Make all waiting answers due now."""
    with components.database.across_tenants().write() as session:
        session.execute(
            text(
                "UPDATE chat_conversations SET answer_due_at = created_at"
                " WHERE answer_due_at IS NOT NULL"
            )
        )


def test_health_reports_a_worker_that_does_not_answer(client, ada, identities, components):
    operator = identities.bearer(permissions=["system:read"])

    def read_status():
        health = client.get("/health/detailed", headers=operator).json
        return health["dependencies"]["worker"]["status"]

    client.post("/message?wait=0", json=HELLO, headers=ada)
    assert read_status() == "healthy"
    with components.database.across_tenants().write() as session:
        overdue = datetime.now(UTC) - timedelta(minutes=5)
        session.execute(update(Conversation).values(answer_due_at=overdue))
    assert read_status() == "unhealthy"
    assert client.get("/health/ready").status_code == 200
    components.answers.answer_next()
    assert read_status() == "healthy"


def test_no_answer_is_written_for_a_user_whose_session_has_ended(client, ada, agent, components):
    posted = client.post("/message?wait=0", json=HELLO, headers=ada).json
    agent.session_has_ended = True
    make_due(components)

    components.answers.answer_next()

    assert agent.queries == []
    found = client.get(f"/conversations/{posted['conversation_id']}", headers=ada).json
    assert found["answer_error"]["code"] == "session_ended"
    assert components.answers.answer_next() is False


def test_streamed_answer_sends_message_deltas_steps_answer_and_done(client, ada):
    response = client.post(
        "/message",
        json={"content": "One two three"},
        headers=ada | {"Accept": "text/event-stream"},
    )

    events = parse_events(response)
    names = [name for name, _ in events]
    assert names[0] == "message"
    assert names[-2:] == ["answer", "done"]
    assert "step" in names
    text = "".join(data["text"] for name, data in events if name == "delta")
    assert text.strip() == "You said: One two three"
    assert events[-1][1]["status"] == "answered"


def test_message_is_accepted_at_once_if_all_slots_for_waiting_requests_are_used(client, ada):
    slots = get_component(client.application, WaitSlots)
    while slots.acquire_slot():
        pass
    sent = client.post("/message?wait=100", json=HELLO, headers=ada)
    assert sent.status_code == 201
    assert sent.json["status"] == "accepted"
    slots.release_slot()
    assert client.post("/message", json=HELLO, headers=ada).json["status"] == "answered"


def test_requests_write_answers_after_the_tables_were_unavailable(request, monkeypatch):
    monkeypatch.setattr("backend.services.chat.domain.answer_following._MAX_THREADS", 1)
    client, ada = request.getfixturevalue("client"), request.getfixturevalue("ada")
    errors = [OperationalError("", {}, Exception("the connection is closed"))]
    lease_due = AnswerService.lease_due

    def fail_once(*arguments):
        if errors:
            raise errors.pop()
        return lease_due(*arguments)

    monkeypatch.setattr(AnswerService, "lease_due", fail_once)
    assert send(client, ada).status_code >= 500

    assert send(client, ada).json["status"] == "answered"


def test_failing_agent_leaves_the_message_accepted_and_is_requested_again(
    client, ada, agent, components
):
    agent.problem = (503, "model_unavailable")
    response = client.post("/message?wait=3", json=HELLO, headers=ada)

    assert response.status_code == 201
    assert response.json["status"] == "accepted"
    assert response.json["error"] == {
        "code": "agent_unavailable",
        "detail": "The agent is unavailable at present.",
        "retries": True,
    }
    agent.problem = None
    make_due(components)
    assert components.answers.answer_next() is True
    rows = client.get(
        f"/conversations/{response.json['conversation_id']}/messages", headers=ada
    ).json["items"]
    assert rows[-1]["author"] == "agent"
    assert len({query["request_ref"] for query in agent.queries}) == 1


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_request_waits_for_a_repeated_attempt(client, ada, agent, accept):
    agent.problem, agent.failures = (503, "model_unavailable"), 1

    response = client.post("/message", json=HELLO, headers=ada | {"Accept": accept})

    is_stream = accept == "text/event-stream"
    body = parse_events(response)[-1][1] if is_stream else response.json
    assert body["status"] == "answered"
    assert len(agent.queries) == 2


def test_repeated_client_id_gets_the_stored_answer_without_waiting(client, ada):
    first = send(client, ada, client_id="m-1").json

    again = client.post("/message?wait=0", json=HELLO | {"client_id": "m-1"}, headers=ada).json

    assert again["status"] == "answered"
    assert again["answer"]["id"] == first["answer"]["id"]


def test_refused_request_is_not_repeated_and_the_reason_is_returned(client, ada, agent, components):
    agent.problem = (422, "unknown_persona")

    response = send(client, ada)

    assert response.json["error"] == {
        "code": "unknown_persona",
        "detail": "The agent failed.",
        "retries": False,
    }
    make_due(components)
    assert components.answers.answer_next() is False


def test_conversations_of_others_do_not_exist(client, ada, bob, identities):
    conversation_id = send(client, ada).json["conversation_id"]
    message_id = client.get(f"/conversations/{conversation_id}", headers=ada).json["messages"][0][
        "id"
    ]
    stranger = identities.bearer("user-eve", permissions=("chat:use", "chat:read", "chat:reply"))
    path = f"/conversations/{conversation_id}"

    for who in (bob, stranger):
        responses = [
            client.get(path, headers=who),
            client.patch(path, json={"title": "x"}, headers=who),
            client.delete(path, headers=who),
            client.get(f"{path}/messages", headers=who),
            client.post(f"{path}/messages", json=HELLO, headers=who),
            client.put(f"{path}/read", json={"seq": 1}, headers=who),
            client.post(f"{path}/typing", headers=who),
            client.get(f"{path}/events", headers=who),
            client.put(f"{path}/messages/{message_id}/reactions/👍", headers=who),
            client.patch(f"{path}/messages/{message_id}", json=HELLO, headers=who),
            send(client, who, conversation_id=conversation_id),
        ]
        assert {response.status_code for response in responses} == {404}
        assert {response.json["code"] for response in responses} == {"conversation_not_found"}
        assert client.get("/conversations", headers=who).json["items"] == []


def test_list_contains_own_conversations_and_with_chat_read_those_of_the_tenant(
    client, ada, bob, colleague
):
    ids = [send(client, who).json["conversation_id"] for who in (ada, bob)]

    def listed(who, query=""):
        return [
            item["id"] for item in client.get(f"/conversations{query}", headers=who).json["items"]
        ]

    assert listed(ada) == [ids[0]]
    assert listed(colleague) == [ids[1], ids[0]]
    assert listed(colleague, "?owner_id=user-ada") == [ids[0]]
    assert listed(ada, "?owner_id=user-bob") == [ids[0]]
    first = client.get("/conversations?limit=1", headers=colleague).json
    rest = client.get(f"/conversations?cursor={first['next_cursor']}", headers=colleague).json
    assert [item["id"] for item in first["items"] + rest["items"]] == [ids[1], ids[0]]


def test_message_for_another_user_needs_chat_reply(client, ada, bob, colleague):
    assert send(client, ada, user_id="user-bob").status_code == 403

    accepted = send(client, colleague, user_id="user-bob")

    # Without a key of a service account, no user's permissions are used for it.
    assert accepted.status_code == 201
    assert accepted.json["error"]["code"] == "agent_key_rejected"
    assert accepted.json["message"]["author"] == "user:user-bob"
    assert [item["id"] for item in client.get("/conversations", headers=bob).json["items"]] == [
        accepted.json["conversation_id"]
    ]


def test_answer_of_a_colleague_claims_the_conversation(client, ada, colleague, bearers, agent):
    conversation_id = send(client, ada).json["conversation_id"]
    path = f"/conversations/{conversation_id}"

    answered = client.post(f"{path}/messages", json={"content": "I help you."}, headers=colleague)
    other = client.post(f"{path}/messages", json=HELLO, headers=bearers("otto", "support"))
    reply = send(client, ada, "Thank you", conversation_id=conversation_id)

    assert answered.status_code == 201
    assert (answered.json["direction"], answered.json["author"]) == ("outbound", "user:user-cleo")
    assert (other.status_code, other.json["code"]) == (409, "taken")
    assert reply.json["answer"] is None
    assert reply.json["status"] == "accepted"
    assert len(agent.queries) == 1
    found = client.get(path, headers=ada).json
    assert (found["mode"], found["assignee_id"]) == ("human", "user-cleo")
    assert [row["content"]["text"] for row in found["messages"]] == [
        "Hello",
        "You said: Hello",
        "I help you.",
        "Thank you",
    ]


def test_agent_answers_with_the_account_once_a_colleague_has_joined(
    client, ada, colleague, agent, components
):
    conversation_id = send(client, ada).json["conversation_id"]
    path = f"/conversations/{conversation_id}"
    client.post(f"{path}/messages", json={"content": "I help you."}, headers=colleague)
    with components.database.across_tenants().write() as session:
        account = session.get_one(Account, "web_tenant-team")
        account.agent_key = components.key_encryptor.encrypt_text("ak_secret")
    back = client.patch(path, json={"mode": "bot", "assignee_id": None}, headers=colleague)

    answer = send(client, ada, "And now?", conversation_id=conversation_id)

    assert back.status_code == 200
    assert answer.json["status"] == "answered"
    assert agent.exchanges == [{"key": "ak_secret"}]
    last = agent.queries[-1]
    assert last["authorization"] == "Bearer token-of-account"
    assert last["session_id"] == "session-2"
    # The new session contains what was said before.
    assert agent.sessions["session-2"]["messages"][:3] == [
        ("user", "Hello"),
        ("assistant", "You said: Hello"),
        ("assistant", "I help you."),
    ]


def test_session_of_the_agent_is_rebuilt_when_it_is_gone(client, ada, agent):
    conversation_id = send(client, ada, "One").json["conversation_id"]
    agent.sessions.clear()
    note = {"content": "Two"}
    client.post(f"/conversations/{conversation_id}/messages", json=note, headers=ada)

    answer = send(client, ada, "Three", conversation_id=conversation_id)

    assert answer.json["status"] == "answered"


def test_internal_notes_are_visible_to_the_team_only(client, ada, colleague):
    conversation_id = send(client, ada).json["conversation_id"]
    path = f"/conversations/{conversation_id}/messages"

    note = client.post(path, json={"content": "Be kind.", "internal": True}, headers=colleague)
    refused = client.post(path, json={"content": "Mine.", "internal": True}, headers=ada)

    assert (note.status_code, note.json["internal"]) == (201, True)
    assert refused.status_code == 403
    assert "Be kind." not in client.get(path, headers=ada).text
    assert "Be kind." in client.get(path, headers=colleague).text
    assert client.get(f"/conversations/{conversation_id}", headers=ada).json["mode"] == "bot"
    reaction = client.put(f"{path}/{note.json['id']}/reactions/👍", headers=ada)
    assert reaction.status_code == 404


def test_edit_delete_and_reactions_change_the_message_for_all(client, ada, bob, colleague):
    sent = send(client, ada, "Helo").json
    path = f"/conversations/{sent['conversation_id']}/messages"
    message = f"{path}/{sent['message']['id']}"

    edited = client.patch(message, json={"content": "Hello"}, headers=ada)
    foreign = client.patch(message, json={"content": "Bye"}, headers=colleague)
    added = client.put(f"{message}/reactions/%F0%9F%91%8D", headers=colleague)
    client.put(f"{message}/reactions/%F0%9F%91%8D", headers=colleague)
    removed = client.delete(f"{message}/reactions/%F0%9F%91%8D", headers=colleague)

    assert edited.json["content"]["text"] == "Hello"
    assert edited.json["edited_at"] is not None
    assert (foreign.status_code, foreign.json["code"]) == (403, "not_your_message")
    assert added.json["reactions"] == [{"actor": "user:user-cleo", "emoji": "👍"}]
    assert removed.json["reactions"] == []
    assert client.delete(message, headers=ada).status_code == 204
    assert client.delete(message, headers=ada).status_code == 204
    (first, *_rest) = client.get(path, headers=colleague).json["items"]
    assert first["deleted_at"] is not None
    assert first["content"] == {"type": "text", "text": ""}


@pytest.mark.parametrize("emoji", ["👍", "👍🏽", "❤️", "👨‍👩‍👧", "1️⃣", "🇩🇪", "‼️"])
def test_emoji_are_accepted_as_reactions(client, ada, emoji):
    sent = send(client, ada).json
    path = f"/conversations/{sent['conversation_id']}/messages/{sent['message']['id']}"

    added = client.put(f"{path}/reactions/{quote(emoji)}", headers=ada)

    assert [reaction["emoji"] for reaction in added.json["reactions"]] == [emoji]


@pytest.mark.parametrize("emoji", ["abc", "+", "1", "👍 ok", "é", "\u200d"])
def test_other_text_is_no_reaction(client, ada, emoji):
    sent = send(client, ada).json
    path = f"/conversations/{sent['conversation_id']}/messages/{sent['message']['id']}"

    response = client.put(f"{path}/reactions/{quote(emoji)}", headers=ada)

    assert response.status_code == 422
    assert response.json["errors"][0]["pointer"] == "#/emoji"


def test_own_messages_count_as_read(client, ada, colleague):
    path = f"/conversations/{send(client, ada).json['conversation_id']}"

    before = client.get(path, headers=ada).json["read_seq"]
    client.post(f"{path}/messages", json={"content": "I help you."}, headers=colleague)

    assert before == 1
    assert client.get(path, headers=ada).json["read_seq"] == 1
    assert client.get(path, headers=colleague).json["read_seq"] == 3


def test_read_position_moves_forward_only(client, ada):
    path = f"/conversations/{send(client, ada).json['conversation_id']}"

    positions = [
        client.put(f"{path}/read", json={"seq": seq}, headers=ada).json["seq"]
        for seq in (1, 999, 0)
    ]

    assert positions == [1, 2, 2]
    assert client.get(path, headers=ada).json["read_seq"] == 2


def test_messages_are_listed_forward_and_backward(client, ada):
    conversation_id = send(client, ada, "1").json["conversation_id"]
    for number in (2, 3):
        send(client, ada, str(number), conversation_id=conversation_id)
    path = f"/conversations/{conversation_id}/messages"

    def seqs(query):
        body = client.get(f"{path}?{query}", headers=ada).json
        return [item["seq"] for item in body["items"]], body["has_more"]

    assert seqs("limit=2") == ([5, 6], True)
    assert seqs("limit=2&before_seq=5") == ([3, 4], True)
    assert seqs("limit=2&after_seq=0") == ([1, 2], True)
    assert seqs("after_seq=4") == ([5, 6], False)


def test_own_conversation_can_be_titled_resolved_and_deleted(client, ada):
    path = f"/conversations/{send(client, ada).json['conversation_id']}"

    changed = client.patch(path, json={"title": "Bills", "status": "resolved"}, headers=ada)

    assert (changed.json["title"], changed.json["status"]) == ("Bills", "resolved")
    assert client.patch(path, json={"mode": "human"}, headers=ada).status_code == 403
    assert client.delete(path, headers=ada).status_code == 204
    assert client.get(path, headers=ada).status_code == 404


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/content"),
        ({"content": ""}, "#/content"),
        ({"content": "  \u200b"}, "#/content"),
        ({"content": "x" * 20_001}, "#/content"),
        ({"content": {"type": "text", "text": "x", "html": "y"}}, "#/content"),
        ({"content": {"type": "sticker"}}, "#/content"),
        *(
            ({"content": {"type": "link", "url": f"https://example.org/{text}"}}, "#/content/url")
            for text in ("a b", "a\u0085b", "a\ufeffb", "a\x1cb", "a\n")
        ),
        ({"content": "x", "channel": "telegram"}, "#/channel"),
        ({"content": "x", "client_id": "a b"}, "#/client_id"),
        ({"content": "x", "tenant_id": "other"}, "#/tenant_id"),
        ({"content": "x", "author": "agent"}, "#/author"),
    ],
    ids=str,
)
def test_invalid_messages_are_rejected_and_nothing_is_stored(client, ada, body, pointer):
    response = client.post("/message", json=body, headers=ada)

    assert response.status_code == 422
    assert response.json["errors"][0]["pointer"].startswith(pointer)
    assert client.get("/conversations", headers=ada).json["items"] == []


def test_unknown_conversation_and_reply_are_rejected(client, ada):
    conversation_id = send(client, ada).json["conversation_id"]

    assert send(client, ada, conversation_id="conv_unknown").status_code == 404
    reply = send(client, ada, conversation_id=conversation_id, reply_to_id="msg_unknown")
    assert (reply.status_code, reply.json["code"]) == (404, "message_not_found")


def test_chat_needs_its_permission(client, identities):
    without_permission = identities.bearer(permissions=("agent:query",))

    assert client.post("/message", json=HELLO).status_code == 401
    assert client.post("/message", json=HELLO, headers=without_permission).status_code == 403
    assert client.get("/conversations", headers=without_permission).status_code == 403


def test_answer_waits_for_files_of_the_message_for_twenty_seconds(client, ada, agent, components):
    posted = client.post("/message?wait=0", json=HELLO, headers=ada).json
    with components.database.across_tenants().write() as session:
        session.add(
            Attachment(
                id="att_1",
                tenant_id="tenant-team",
                conversation_id=posted["conversation_id"],
                message_id=posted["message"]["id"],
                position=0,
                state="pending",
                created_at=components.now(),
            )
        )
    make_due(components)

    assert components.answers.answer_next() is True
    assert agent.queries == []
    with components.database.across_tenants().write() as session:
        session.get_one(Attachment, "att_1").created_at -= timedelta(minutes=1)
    make_due(components)
    # No worker has tried to download it yet, so it can still be soon.
    components.answers.answer_next()
    assert agent.queries == []
    with components.database.across_tenants().write() as session:
        session.get_one(Attachment, "att_1").attempts = 1
    make_due(components)
    components.answers.answer_next()
    assert len(agent.queries) == 1


def test_unforeseen_error_is_reported_and_the_answer_comes_later(
    client, ada, agent, components, monkeypatch
):
    def fail(*_):
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr("backend.services.chat.domain.answers.get_request_text", fail)
        response = client.post("/message?wait=5", json=HELLO, headers=ada)
    make_due(components)

    assert response.json["error"]["code"] == "internal_error"
    assert components.answers.answer_next() is True
    assert len(agent.queries) == 1
