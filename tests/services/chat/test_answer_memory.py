"""Answers and histories in shared state, which may be lost at any time."""

from datetime import UTC, datetime, timedelta

import pytest

from backend.chassis.web.app_factory import get_component
from backend.services.chat.app import create_app
from backend.services.chat.jobs.waking import WorkerWaker
from backend.services.chat.store.send_rates import RateLimit
from backend.services.chat.wiring import ChatComponents
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
    body = {"agent_key": "aas_sa.key", "settings": settings}
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


def test_limits_of_a_contact_count_in_all_conversations(
    client, manager, colleague, agent, components
):
    configure(client, manager, limits={"contact_per_day": 2})

    sent = [send(client, colleague, str(n), user_id="user-ada").json for n in range(3)]

    assert [answer["status"] for answer in sent] == ["answered", "answered", "accepted"]
    assert sent[2]["error"]["code"] == "contact_limit"
    assert send(client, colleague, "Hello", user_id="user-bob").json["status"] == "answered"


def test_contact_gets_no_answers_beyond_the_tokens_of_a_day(client, manager, colleague, agent):
    # Each answer of the fake agent uses three tokens.
    configure(client, manager, limits={"contact_tokens_per_day": 4})
    sent = send(client, colleague, "1", user_id="user-ada").json
    more = {"conversation_id": sent["conversation_id"], "user_id": "user-ada"}

    second, third = (send(client, colleague, str(n), **more).json for n in (2, 3))

    assert second["status"] == "answered"
    assert third["error"]["code"] == "contact_token_limit"
    assert third["error"]["retries"] is False
    assert len(agent.queries) == 2


def test_answers_of_a_tenant_beyond_its_rate_wait_for_their_place(
    state, settings, identities, manager, colleague, ada, agent, monkeypatch
):
    rate = RateLimit(timedelta(seconds=60), 2)
    monkeypatch.setattr("backend.services.chat.domain.answer_limits._TENANT_RATE", rate)
    time = [datetime.now(UTC)]
    app = identities.trust(create_app(settings, lambda: time[0]))
    client, answers = app.test_client(), get_component(app, ChatComponents).answers

    def answer_all():
        while answers.answer_next():
            pass
        return [query["user_request"] for query in agent.runs]

    configure(client, manager)
    for number in range(5):
        body = {"content": str(number), "user_id": f"user-{number}"}
        client.post("/message?wait=0", json=body, headers=colleague)
        time[0] += timedelta(milliseconds=1)
    # Answers with the permissions of a user are limited by the quota of the user only.
    client.post("/message?wait=0", json={"content": "Own"}, headers=ada)
    time[0] += timedelta(seconds=2)

    assert answer_all() == ["0", "1", "Own"]
    waiting = client.get("/conversations", headers=colleague).json["items"]
    codes = [(item["answer_error"] or {}).get("code") for item in waiting]
    assert codes.count("tenant_limit") == 3
    time[0] += timedelta(seconds=60)
    assert answer_all() == ["0", "1", "Own", "2"]
    assert answer_all() == ["0", "1", "Own", "2"]
    time[0] += timedelta(seconds=120)
    assert answer_all() == ["0", "1", "Own", "2", "3", "4"]
    get_component(app, WorkerWaker).stop()
