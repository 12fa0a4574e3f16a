"""Web chat through the gateway: an answer with citations, and a second client that sees it."""

import json
import threading
from contextlib import suppress

import pytest
import requests

from tests.servers import wait_until
from tests.suite.conftest import DATA

pytestmark = pytest.mark.suite
QUESTION = "Who patented the typewriter in 1868?"


@pytest.fixture(scope="module")
def writer(suite):
    """A user who has uploaded a document."""
    user = suite.register_user("chat-writer")
    user.document = user.upload(DATA / "multi_page.pdf")
    return user


class EventReader:
    """A client that reads the events of a conversation."""

    def __init__(self, user, path):
        self.events = []
        self._response = requests.get(
            user.base + path, headers=dict(user.session.headers), stream=True, timeout=60
        )
        assert self._response.status_code == 200
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        # The connection ends when the test closes it.
        with suppress(AttributeError, OSError, requests.RequestException):
            self._read_lines()

    def _read_lines(self):
        name = ""
        for line in self._response.iter_lines(chunk_size=1, decode_unicode=True):
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                self.events.append((name, json.loads(line.removeprefix("data: "))))

    def close(self):
        self._response.close()


def test_answer_has_citations_of_the_users_document_and_reaches_a_second_client(writer):
    first = writer("POST", "/api/v1/chat/message", json={"content": "Hello", "channel": "web"})
    assert first.status_code == 201, first.text
    conversation_id = first.json()["conversation_id"]
    reader = EventReader(writer, f"/chat/conversations/{conversation_id}/events")
    wait_until(lambda: reader.events)

    response = writer(
        "POST",
        "/api/v2/chat/message",
        json={"content": QUESTION, "conversation_id": conversation_id, "client_id": "q-1"},
        headers={"X-Tenant-ID": writer.account["user"]["tenant_id"]},
    )

    answer = response.json()["answer"]
    assert "Sholes" in answer["content"]["text"]
    assert {citation["document_id"] for citation in answer["citations"]} == {writer.document["id"]}

    def list_texts():
        return [data["content"]["text"] for name, data in reader.events if name == "message"]

    wait_until(lambda: len(list_texts()) == 2)
    assert list_texts() == [QUESTION, answer["content"]["text"]]
    reader.close()
    assert writer("GET", "/agent/sessions").json()["items"] == []


def test_worker_answers_a_message_without_a_waiting_request(writer):
    posted = writer("POST", "/chat/message?wait=0", json={"content": QUESTION}).json()
    assert posted["status"] == "accepted"
    path = f"/chat/conversations/{posted['conversation_id']}/messages"

    wait_until(lambda: len(writer("GET", path).json()["items"]) == 2, 60)

    answer = writer("GET", path).json()["items"][1]
    assert answer["author"] == "agent"
    assert "Sholes" in answer["content"]["text"]
    assert answer["citations"]


def test_other_users_see_neither_the_conversation_nor_its_events(suite, writer):
    conversation_id = writer("POST", "/chat/message?wait=0", json={"content": "Mine"}).json()[
        "conversation_id"
    ]
    stranger = suite.register_user("chat-stranger")

    for path in ("", "/messages", "/events"):
        response = stranger("GET", f"/chat/conversations/{conversation_id}{path}")
        assert response.status_code == 404
