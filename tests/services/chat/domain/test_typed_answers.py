"""Numbers and titles that a contact types in answer to a choice."""

import pytest

from backend.services.chat.domain.new_messages import NewMessage
from tests.services.chat.webhook_senders import WebhookSenders

CHOICE = {
    "type": "choice",
    "text": "Which?",
    "options": [{"id": "y", "title": "Yes"}, {"id": "n", "title": "No"}],
}


@pytest.fixture
def senders(tmp_path):
    senders = WebhookSenders(tmp_path)
    senders.add_account("twilio")
    return senders


def receive(senders, text, number):
    fields = {"MessageSid": f"SM{number:032d}", "From": "+15550001", "To": "+15550002"}
    senders.send("twilio", {**fields, "Body": text, "NumMedia": "0"})
    return senders.list_messages()[-1]


def ask(senders, content=CHOICE):
    (conversation,) = senders.list_conversations()
    with senders.database.write("t1") as session:
        row = session.merge(conversation)
        senders.log.add_message(session, row, NewMessage("outbound", "agent", content))


@pytest.mark.parametrize(("text", "option"), [("2", "n"), ("yes!", "y")])
def test_typed_answer_is_stored_as_the_option(senders, text, option):
    receive(senders, "Hello", 1)
    ask(senders)
    senders.clock.move(minutes=5)

    message = receive(senders, text, 2)

    assert message.content["type"] == "choice"
    assert message.content["choice"]["id"] == option
    assert message.content["text"] == text


def test_number_is_a_text_without_a_choice_after_a_day_or_after_another_message(senders):
    assert receive(senders, "1", 1).content == {"type": "text", "text": "1"}
    ask(senders)
    senders.clock.move(hours=25)
    assert receive(senders, "1", 2).content["type"] == "text"
    ask(senders)
    senders.clock.move(minutes=1)
    ask(senders, {"type": "text", "text": "How many?"})
    senders.clock.move(minutes=1)
    assert receive(senders, "1", 3).content["type"] == "text"
