"""Calls of Twilio: what a caller says is answered by the agent, in turns."""

import time
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import pytest
from sqlalchemy import update

from backend.services.chat.store.tables import Conversation
from tests.services.chat.webhook_senders import SECRET, sign

PUBLIC_URL = "https://chat.example.org"
LONG_ANSWER = "Where is my parcel?"


@pytest.fixture(autouse=True)
def _short_wait(monkeypatch):
    monkeypatch.setattr("backend.services.chat.routes.webhooks.MAX_WAIT_SECONDS", 0.05)


@pytest.fixture
def account(client, manager):
    body = {
        "channel": "twilio",
        "name": "Hotline",
        "settings": {"number": "+15550200", "voice_language": "de-DE"},
        "credentials": {"auth_token": SECRET},
        "agent_key": "aas_sa.key",
    }
    return client.post("/accounts", json=body, headers=manager).json["id"]


@pytest.fixture
def call(client, account):
    """Return a function that sends a request of a call, and returns the verbs of the response."""

    def send(url=None, **fields):
        path = f"/webhook/twilio/{account}"
        url = url or f"{PUBLIC_URL}{path}"
        payload = {
            "CallSid": "CA1",
            "From": "+15550100",
            "To": "+15550200",
            "CallStatus": "in-progress",
            **fields,
        }
        body = urlencode(payload).encode()
        response = client.post(
            url.removeprefix(PUBLIC_URL),
            data=body,
            content_type="application/x-www-form-urlencoded",
            headers=sign("twilio", url, body, int(time.time())),
        )
        assert (response.status_code, response.mimetype) == (200, "text/xml"), response.text
        return ET.fromstring(response.data)  # noqa: S314 - our own response

    return send


@pytest.fixture
def answer(components, worker):
    """Return a function that lets the agent answer what is due."""

    def run():
        past = datetime.now(UTC) - timedelta(seconds=1)
        with components.database.across_tenants().write() as session:
            due = Conversation.answer_due_at.is_not(None)
            session.execute(update(Conversation).where(due).values(answer_due_at=past))
        worker("answers", "deliveries")

    return run


def get_action(response):
    return response.find("Gather").attrib["action"]


def get_redirect(response):
    return response.find("Redirect").text


def read_sentences(response):
    return [say.text for say in response.iter("Say")]


def test_call_is_greeted_in_the_language_of_the_account(call):
    response = call(CallStatus="ringing")

    gather = response.find("Gather").attrib
    assert (gather["input"], gather["language"]) == ("speech dtmf", "de-DE")
    assert read_sentences(response) == ["Guten Tag. Wie kann ich Ihnen helfen?"]


def test_speech_is_answered_and_the_call_goes_on(call, answer, client, colleague, components):
    greeting = call(CallStatus="ringing")
    waiting = call(get_action(greeting), SpeechResult="Where is my parcel?")
    assert [verb.tag for verb in waiting] == ["Pause", "Redirect"]
    answer()
    answered = call(get_redirect(waiting))

    assert read_sentences(answered) == ["You said: Where is my parcel?"]
    waiting = call(get_action(answered), SpeechResult="Thank you")
    answer()
    assert read_sentences(call(get_redirect(waiting))) == ["You said: Thank you"]
    (item,) = client.get("/conversations", headers=colleague).json["items"]
    assert item["channel"] == "twilio"
    assert client.get("/deliveries", headers=colleague).json["items"] == []


def test_repeated_request_is_stored_once_and_answered_alike(call, answer, agent):
    action = get_action(call(CallStatus="ringing"))
    call(action, SpeechResult="Yes")
    answer()

    first = read_sentences(call(action, SpeechResult="Yes"))
    assert first == ["You said: Yes"]
    assert read_sentences(call(action, SpeechResult="Yes")) == first
    answer()
    assert len(agent.runs) == 1


def test_the_same_words_in_the_next_turn_are_a_new_message(call, answer, agent):
    answered = call(CallStatus="ringing")
    for _ in range(2):
        waiting = call(get_action(answered), SpeechResult="Yes")
        answer()
        answered = call(get_redirect(waiting))

    assert read_sentences(answered) == ["You said: Yes"]
    assert len(agent.runs) == 2


def test_call_ends_after_three_silences(call):
    response = call(CallStatus="ringing")
    for _ in range(2):
        response = call(get_redirect(response))
        assert read_sentences(response) == [
            "Ich habe Sie nicht gehört. Bitte sagen Sie es noch einmal."
        ]

    response = call(get_redirect(response))
    assert [verb.tag for verb in response] == ["Say", "Hangup"]


def test_answer_that_never_comes_ends_the_call(call):
    response = call(get_action(call(CallStatus="ringing")), SpeechResult="Hello")
    for _ in range(20):
        assert response.find("Hangup") is None
        response = call(get_redirect(response))

    assert read_sentences(response) == [
        "Ich kann gerade nicht antworten. Bitte rufen Sie später noch einmal an."
    ]
    assert response.find("Hangup") is not None


def test_failed_answer_ends_the_call(call, answer, agent):
    agent.problem = (403, "forbidden")
    waiting = call(get_action(call(CallStatus="ringing")), SpeechResult="Hello")
    answer()

    assert call(get_redirect(waiting)).find("Hangup") is not None


def test_call_of_a_conversation_that_a_colleague_has_taken_ends(
    call, answer, client, colleague, agent
):
    waiting = call(get_action(call(CallStatus="ringing")), SpeechResult="Hello")
    (item,) = client.get("/conversations", headers=colleague).json["items"]
    client.patch(f"/conversations/{item['id']}", json={"mode": "human"}, headers=colleague)

    response = call(get_redirect(waiting))
    assert read_sentences(response)[0].endswith("Auf Wiederhören.")
    assert response.find("Hangup") is not None


def test_hang_up_ends_the_conversation(call, answer, client, colleague, agent):
    call(get_action(call(CallStatus="ringing")), SpeechResult="Hello")
    ended = call(CallStatus="completed")
    answer()

    assert list(ended) == []
    assert agent.runs == []
    (item,) = client.get("/conversations", headers=colleague).json["items"]
    assert item["status"] == "resolved"


def test_digit_chooses_an_option(call, answer, client, colleague, components):
    waiting = call(get_action(call(CallStatus="ringing")), SpeechResult="Hello")
    (item,) = client.get("/conversations", headers=colleague).json["items"]
    options = [{"id": "track", "title": "Track a parcel"}, {"id": "other", "title": "Other"}]
    content = {"type": "choice", "text": "What do you want?", "options": options}
    path = f"/conversations/{item['id']}/messages"
    client.post(path, json={"content": content}, headers=colleague)
    asked = call(get_redirect(waiting))

    said = " ".join(read_sentences(asked))
    assert "1. Track a parcel" in said
    call(get_action(asked), Digits="2")
    last = client.get(path, headers=colleague).json["items"][-1]
    assert last["content"]["choice"] == {"id": "other", "title": "Other"}


def test_texts_are_escaped(call, answer):
    waiting = call(get_action(call(CallStatus="ringing")), SpeechResult="<Hangup/> & \x01")
    answer()

    response = call(get_redirect(waiting))
    assert response.find("Hangup") is None
    assert "&" in read_sentences(response)[0]
