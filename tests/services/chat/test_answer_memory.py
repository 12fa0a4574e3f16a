"""Answers and histories in shared state, which may be lost at any time."""

import pytest

from backend.services.chat.app import create_app
from tests.services.chat.test_web_chat import send


class SharedState(dict):
    """Shared state in memory."""

    def read(self, kind, key):
        return self.get((kind, key))

    def write(self, kind, key, value, seconds):
        assert seconds > 0
        self[kind, key] = value


@pytest.fixture
def state(monkeypatch):
    state = SharedState()
    monkeypatch.setattr("backend.services.chat.wiring.open_shared_state", lambda _: state)
    return state


@pytest.fixture
def app(state, settings, identities):
    return identities.trust(create_app(settings))


def configure(client, manager, **settings):
    body = {"agent_key": "ak_1", "settings": settings}
    assert client.get("/accounts", headers=manager).status_code == 200
    changed = client.patch("/accounts/web_tenant-team", json=body, headers=manager)
    assert changed.status_code == 200


def test_equal_first_messages_get_one_answer_with_the_setting_of_the_account(
    client, manager, colleague, agent, state
):
    configure(client, manager, cache_answers=True)

    first = send(client, colleague, "What is a bill?", user_id="user-ada").json
    second = send(client, colleague, "what is a  BILL?", user_id="user-bob").json
    again = {"conversation_id": second["conversation_id"], "user_id": "user-bob"}
    follow_up = send(client, colleague, "And a note?", **again).json

    assert second["answer"]["content"] == first["answer"]["content"]
    assert second["answer"]["citations"] == first["answer"]["citations"]
    assert [query["user_request"] for query in agent.queries] == ["What is a bill?", "And a note?"]
    assert follow_up["status"] == "answered"


def test_answers_are_not_shared_without_the_setting_nor_with_the_rights_of_a_user(
    client, manager, colleague, ada, bob, agent, state
):
    configure(client, manager)
    for user in ("user-ada", "user-bob"):
        send(client, colleague, "What is a bill?", user_id=user)
    configure(client, manager, cache_answers=True)
    for who in (ada, bob):
        send(client, who, "What is a bill?")

    assert len(agent.queries) == 4


def test_lost_session_is_built_from_the_tables_when_shared_state_is_lost(client, ada, agent, state):
    conversation_id = send(client, ada, "One").json["conversation_id"]
    for text in ("Two", "Three"):
        agent.sessions.clear()
        state.clear()
        send(client, ada, text, conversation_id=conversation_id)

    assert agent.sessions["session-1"]["messages"][:3] == [
        ("user", "One"),
        ("assistant", "You said: One"),
        ("user", "Two"),
    ]


def test_contact_gets_answers_up_to_the_limits_of_the_account(
    client, manager, colleague, agent, components
):
    configure(client, manager, limits={"contact_per_minute": 2, "contact_per_day": 3})
    sent = send(client, colleague, "1", user_id="user-ada").json
    more = {"conversation_id": sent["conversation_id"], "user_id": "user-ada"}

    second, third, fourth = (send(client, colleague, str(n), **more).json for n in (2, 3, 4))

    assert (sent["status"], second["status"]) == ("answered", "answered")
    assert third["error"] == {
        "code": "contact_limit",
        "detail": "The contact has sent more messages than the account allows.",
        "retries": True,
    }
    assert (fourth["error"]["code"], fourth["error"]["retries"]) == ("contact_limit", False)
    assert len(agent.queries) == 2
    path = f"/conversations/{sent['conversation_id']}/messages"
    stored = client.get(path, headers=colleague).json["items"]
    assert len([item for item in stored if item["direction"] == "inbound"]) == 4
