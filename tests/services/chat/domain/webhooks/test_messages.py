"""Messages of webhooks: stored once, in one conversation, with contact and answer."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from backend.services.chat.store.tables import Attachment, Contact, Identity
from tests.services.chat.domain.channels.normalising import (
    slack_message,
    teams,
    telegram,
    twilio,
    whatsapp,
    whatsapp_message,
)
from tests.services.chat.webhook_senders import START, WebhookSenders

BSUID = "US.13491208655302741918"


def text_message(number: int = 1, **message: Any) -> dict[str, Any]:
    return whatsapp_message(
        id=f"wamid.{number}", type="text", text={"body": f"Hello {number}"}, **message
    )


def test_message_is_stored_with_contact_conversation_and_time(senders: WebhookSenders) -> None:
    senders.add_account("whatsapp")

    response = senders.send("whatsapp", text_message())

    (message,) = senders.list_messages()
    (conversation,) = senders.list_conversations()
    (contact,) = senders.list_rows(Contact)
    assert response.body == ""
    assert message.content == {"type": "text", "text": "Hello 1"}
    assert (message.direction, message.author) == ("inbound", f"contact:{contact.id}")
    assert message.sent_at.isoformat() == "2025-06-08T20:59:43+00:00"
    assert (conversation.key, conversation.contact_id) == ("user:15550150100", contact.id)
    assert conversation.answer_due_at is not None
    assert conversation.last_inbound_at == START


def test_webhook_that_is_sent_again_gives_one_message(senders: WebhookSenders) -> None:
    senders.add_account("whatsapp")

    for _ in range(3):
        senders.send("whatsapp", text_message())

    assert len(senders.list_messages()) == 1
    assert senders.list_conversations()[0].last_seq == 1


def test_webhook_by_eight_connections_at_once_gives_one_message(senders: WebhookSenders) -> None:
    senders.add_account("whatsapp")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: senders.send("whatsapp", text_message()), range(8)))

    assert len(senders.list_messages()) == 1
    assert len(senders.list_inbound()) == 1


def test_album_of_a_new_contact_in_parallel_gives_one_contact(senders: WebhookSenders) -> None:
    senders.add_account("telegram")
    updates = [
        telegram(message_id=number, photo=[{"file_id": f"f{number}"}], media_group_id="album")
        for number in range(10)
    ]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda update: senders.send("telegram", update), updates))

    assert len(senders.list_messages()) == 10
    assert len(senders.list_conversations()) == 1
    assert len(senders.list_rows(Contact)) == 1
    assert len(senders.list_rows(Attachment)) == 10


def test_slack_event_is_processed_if_only_its_retry_is_stored(senders: WebhookSenders) -> None:
    senders.add_account("slack")
    payload = slack_message(text="hi", channel="D1", channel_type="im")

    for number in range(1, 4):
        body = json.dumps(payload).encode()
        request = senders.build_request("slack", body, headers={"x-slack-retry-num": str(number)})
        senders.receiver.receive("slack", "acc_1", request)
        senders.clock.move(seconds=100)

    assert len(senders.list_messages()) == 1


def test_app_mention_and_message_of_one_post_give_one_message(senders: WebhookSenders) -> None:
    senders.add_account("slack")

    senders.send("slack", {**slack_message(text="<@UBOT> hi"), "event_id": "Ev1"})
    mention = slack_message(type="app_mention", text="<@UBOT> hi")
    senders.send("slack", {**mention, "event_id": "Ev2"})

    assert len(senders.list_messages()) == 1


def test_number_and_bsuid_of_a_user_are_one_contact(senders: WebhookSenders) -> None:
    senders.add_account("whatsapp")
    contact = {"profile": {"name": "Ann"}, "user_id": BSUID}
    new_message = {
        "from_user_id": "US.99",
        "id": "wamid.3",
        "timestamp": "1749416390",
        "type": "text",
        "text": {"body": "three"},
    }
    update = {"wa_id": "15550150100", "user_id": {"previous": BSUID, "current": "US.99"}}

    senders.send("whatsapp", text_message(1))
    senders.send("whatsapp", text_message(2, from_user_id=BSUID))
    senders.send("whatsapp", whatsapp("user_id_update", user_id_update=[update]))
    senders.send("whatsapp", whatsapp(contacts=[contact], messages=[new_message]))

    assert len({message.author for message in senders.list_messages()}) == 1
    assert len(senders.list_conversations()) == 1
    values = {row.value for row in senders.list_rows(Identity)}
    assert {"15550150100", BSUID, "US.99"} <= values


def test_message_of_a_group_is_answered_only_if_it_mentions_us(senders: WebhookSenders) -> None:
    senders.add_account("telegram", settings={"bot_username": "suite_bot"})
    group = {"id": -100, "type": "supergroup"}

    senders.send("telegram", telegram(chat=group, text="hello all"))
    assert senders.list_conversations()[0].answer_due_at is None

    senders.send("telegram", telegram(chat=group, message_id=8, text="@suite_bot hello"))
    (conversation,) = senders.list_conversations()
    assert conversation.answer_due_at is not None
    assert conversation.is_group
    assert conversation.contact_id is None


def test_unsupported_message_is_stored_with_its_reason_and_not_answered(
    senders: WebhookSenders,
) -> None:
    senders.add_account("whatsapp")
    errors = [{"code": 131052, "title": "Media download error"}]

    senders.send("whatsapp", whatsapp_message(type="unsupported", errors=errors))

    (message,) = senders.list_messages()
    assert message.content["error"]["code"] == "131052"
    assert senders.list_conversations()[0].answer_due_at is None


def test_reply_names_the_message_that_it_answers(senders: WebhookSenders) -> None:
    senders.add_account("whatsapp")

    senders.send("whatsapp", text_message(1))
    senders.send("whatsapp", text_message(2, context={"id": "wamid.1"}))

    first, second = senders.list_messages()
    assert second.reply_to_id == first.id


def test_url_of_a_file_is_stored_apart_from_the_content(senders: WebhookSenders) -> None:
    senders.add_account("twilio")
    fields = twilio(
        NumMedia="1", MediaContentType0="image/png", MediaUrl0="https://10.0.0.1/secret"
    )

    senders.send("twilio", fields)

    (message,) = senders.list_messages()
    (attachment,) = senders.list_rows(Attachment)
    assert message.content["attachments"] == [{"mime": "image/png", "id": attachment.id}]
    assert (attachment.state, attachment.url) == ("pending", "https://10.0.0.1/secret")


def test_echo_of_a_colleague_is_stored_and_silences_the_agent(senders: WebhookSenders) -> None:
    senders.add_account("whatsapp")
    senders.send("whatsapp", text_message(1))
    echo = {
        "from": "15550783881",
        "to": "15550150100",
        "id": "wamid.9",
        "timestamp": "1749416400",
        "type": "text",
        "text": {"body": "I am here"},
    }

    senders.send("whatsapp", whatsapp("smb_message_echoes", message_echoes=[echo]))
    senders.send("whatsapp", text_message(2))

    (conversation,) = senders.list_conversations()
    outbound = [message for message in senders.list_messages() if message.direction == "outbound"]
    assert [(message.source, message.state) for message in outbound] == [("native_app", "sent")]
    assert (conversation.mode, conversation.answer_due_at) == ("human", None)


def test_agent_answers_again_a_day_after_the_colleague(senders: WebhookSenders) -> None:
    senders.add_account("whatsapp")
    echo = {"to": "15550150100", "id": "wamid.9", "type": "text", "text": {"body": "hi"}}
    senders.send("whatsapp", whatsapp("smb_message_echoes", message_echoes=[echo]))

    senders.clock.move(hours=25)
    senders.send("whatsapp", text_message(1))

    (conversation,) = senders.list_conversations()
    assert conversation.mode == "bot"
    assert conversation.answer_due_at is not None


def test_message_of_a_blocked_contact_is_not_stored(senders: WebhookSenders) -> None:
    senders.add_account("whatsapp")
    senders.send("whatsapp", text_message(1))
    with senders.database.write("t1") as session:
        for contact in session.query(Contact):
            contact.is_blocked = True

    senders.send("whatsapp", text_message(2))

    assert len(senders.list_messages()) == 1


def test_service_url_of_teams_is_kept_for_answers(senders: WebhookSenders) -> None:
    senders.add_account("teams")

    response = senders.send("teams", teams(text="hi"))

    (conversation,) = senders.list_conversations()
    assert conversation.details["service_url"] == "https://smba.trafficmanager.net/emea/"
    assert (response.body, response.media_type) == ("{}", "application/json")


def test_two_inputs_of_a_call_are_two_messages(senders: WebhookSenders) -> None:
    senders.add_account("twilio")
    body = b"CallSid=CA1&From=%2B15550100&SpeechResult=yes"

    for token in ("a", "b", "b"):
        request = senders.build_request(
            "twilio", body, is_form=True, headers={"i-twilio-idempotency-token": token}
        )
        senders.receiver.receive("twilio", "acc_1", request)

    assert len(senders.list_messages()) == 2


@pytest.mark.parametrize("text", ["a\0b", "\ud800"], ids=["nul", "surrogate"])
def test_text_that_no_database_stores_is_cleaned(senders: WebhookSenders, text: str) -> None:
    senders.add_account("whatsapp")

    senders.send("whatsapp", whatsapp_message(type="text", text={"body": text}))

    (message,) = senders.list_messages()
    assert message.content["text"] in {"ab", "?"}


def test_account_can_store_only_those_messages_of_groups_that_mention_it(
    senders: WebhookSenders,
) -> None:
    senders.add_account(
        "telegram", settings={"bot_username": "suite_bot", "group_messages": "mentioned"}
    )
    group = {"id": -100, "type": "supergroup"}

    senders.send("telegram", telegram(chat=group, text="hello all"))
    senders.send("telegram", telegram(chat=group, message_id=8, text="@suite_bot hello"))

    assert [message.content["text"] for message in senders.list_messages()] == ["@suite_bot hello"]


def test_teams_message_that_is_sent_again_while_the_agent_answers_is_one_message(
    senders: WebhookSenders,
) -> None:
    senders.add_account("teams")

    for _ in range(3):
        assert senders.send("teams", teams(text="hi")).body == "{}"
        senders.clock.move(seconds=15)

    assert len(senders.list_messages()) == 1


def test_webhook_whose_first_delivery_died_before_the_commit_is_stored_by_its_retry(
    senders: WebhookSenders, monkeypatch: pytest.MonkeyPatch
) -> None:
    senders.add_account("slack")
    payload = slack_message(text="hi", channel="D1", channel_type="im")

    def die(*_arguments: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr("backend.services.chat.domain.webhooks.ingestion.apply_messages", die)
        with pytest.raises(SystemExit):
            senders.send("slack", payload)
    assert senders.list_inbound() == []

    senders.send("slack", payload)
    assert len(senders.list_messages()) == 1
