"""Answers in progress end when a colleague takes over, or when the contact writes again."""

import threading

import pytest

from tests.services.chat.test_answer_memory import configure
from tests.services.chat.test_web_chat import make_due


@pytest.fixture(autouse=True)
def _fast_checks(monkeypatch):
    monkeypatch.setattr("backend.services.chat.domain.answers._RENEWAL_SECONDS", 0.05)


@pytest.fixture
def answering(client, ada, agent, components):
    """Return a function that starts an answer to a message of Ada and waits for its text.

    It returns the conversation's id, and the thread that writes the answer.
    """

    def start(content):
        agent.held = (content,)
        sent = client.post("/message?wait=0", json={"content": content}, headers=ada).json
        make_due(components)
        thread = threading.Thread(target=components.answers.answer_next)
        thread.start()
        assert agent.is_writing.wait(60)
        return sent["conversation_id"], thread

    yield start
    agent.release.set()


def read_messages(client, who, conversation_id):
    path = f"/conversations/{conversation_id}/messages"
    items = client.get(path, headers=who).json["items"]
    return [(item["author"], item["content"]["text"]) for item in items]


def test_answer_ends_when_a_colleague_answers(client, ada, colleague, agent, components, answering):
    conversation_id, thread = answering("Where is my parcel?")

    path = f"/conversations/{conversation_id}/messages"
    client.post(path, json={"content": "I look for it."}, headers=colleague)
    thread.join(60)

    assert agent.cancelled == ["session-1"]
    assert read_messages(client, ada, conversation_id) == [
        ("user:user-ada", "Where is my parcel?"),
        ("user:user-cleo", "I look for it."),
    ]
    assert components.answers.answer_next() is False
    conversation = client.get(f"/conversations/{conversation_id}", headers=ada).json
    assert (conversation["mode"], conversation["answer_error"]) == ("human", None)


def test_lost_connection_of_a_cancelled_answer_is_no_error(
    client, ada, colleague, agent, components, answering
):
    conversation_id, thread = answering("Where is my parcel?")
    agent.breaks_off = True

    path = f"/conversations/{conversation_id}/messages"
    client.post(path, json={"content": "I look for it."}, headers=colleague)
    thread.join(60)

    assert agent.cancelled == ["session-1"]
    conversation = client.get(f"/conversations/{conversation_id}", headers=ada).json
    assert (conversation["mode"], conversation["answer_error"]) == ("human", None)
    assert components.answers.answer_next() is False


def test_new_message_waits_for_the_answer_in_progress(client, ada, agent, components, answering):
    conversation_id, thread = answering("One")

    send_later(client, ada, "Two", conversation_id)
    agent.release.set()
    thread.join(60)
    make_due(components)
    components.answers.answer_next()

    assert agent.cancelled == []
    assert [query["user_request"] for query in agent.runs] == ["One", "Two"]


def test_new_message_ends_the_answer_in_progress_with_the_setting_of_the_account(
    client, ada, manager, agent, components, answering
):
    configure(client, manager, on_busy="interrupt")
    conversation_id, thread = answering("One")

    send_later(client, ada, "Two", conversation_id)
    thread.join(60)
    make_due(components)
    assert components.answers.answer_next() is True

    assert agent.cancelled == ["session-1"]
    assert [query["user_request"] for query in agent.runs] == ["One", "One\n\nTwo"]
    assert len({query["request_ref"] for query in agent.runs}) == 2
    assert read_messages(client, ada, conversation_id) == [
        ("user:user-ada", "One"),
        ("user:user-ada", "Two"),
        ("agent", "You said: One\n\nTwo"),
    ]
    assert components.answers.answer_next() is False


def send_later(client, who, content, conversation_id):
    body = {"content": content, "conversation_id": conversation_id}
    assert client.post("/message?wait=0", json=body, headers=who).status_code == 201
