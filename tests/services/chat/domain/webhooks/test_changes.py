"""Edits, deletions, reactions, identities and states of accounts."""

from typing import Any

import pytest

from backend.services.chat.store.tables import Account, Contact, Participant, Reaction, Revision
from tests.services.chat.domain.channels.normalising import (
    messenger,
    slack,
    slack_message,
    teams,
    telegram,
    twilio,
    whatsapp,
)
from tests.services.chat.webhook_senders import WebhookSenders


def test_edit_replaces_the_content_and_keeps_the_previous_one(senders: WebhookSenders) -> None:
    senders.add_account("telegram")

    senders.send("telegram", telegram(text="old"))
    senders.send("telegram", telegram("edited_message", text="new", edit_date=1749416400))

    (message,) = senders.list_messages()
    assert message.content == {"type": "text", "text": "new"}
    assert message.edited_at is not None
    assert [revision.content["text"] for revision in senders.list_rows(Revision)] == ["old"]


def test_edit_in_another_chat_with_the_same_message_number_changes_nothing(
    senders: WebhookSenders,
) -> None:
    senders.add_account("telegram")
    other = {"id": 99, "type": "private"}

    senders.send("telegram", telegram(text="old"))
    senders.send(
        "telegram", telegram("edited_message", text="new", edit_date=1749416400, chat=other)
    )

    assert senders.list_messages()[0].content["text"] == "old"


def test_deleted_message_has_no_content(senders: WebhookSenders) -> None:
    senders.add_account("slack")
    senders.send("slack", slack_message(text="secret"))

    senders.send(
        "slack",
        slack_message(
            subtype="message_deleted",
            deleted_ts="1610262363.001600",
            previous_message={"ts": "1610262363.001600", "user": "U1"},
            event_ts="1610262400.1",
        ),
    )

    (message,) = senders.list_messages()
    assert message.deleted_at is not None
    assert "secret" not in str(message.content)


def test_restored_message_of_teams_has_its_content(senders: WebhookSenders) -> None:
    senders.add_account("teams")

    senders.send("teams", teams(text="hello"))
    senders.send("teams", teams(type="messageDelete"))
    senders.send(
        "teams",
        teams(type="messageUpdate", text="hello", channelData={"eventType": "undeleteMessage"}),
    )

    (message,) = senders.list_messages()
    assert (message.deleted_at, message.content["text"]) == (None, "hello")


def test_reaction_in_a_slack_channel_finds_the_message_of_its_thread(
    senders: WebhookSenders,
) -> None:
    senders.add_account("slack")
    senders.send("slack", slack_message(text="hi"))
    reaction = {
        "type": "reaction_added",
        "user": "U2",
        "reaction": "eyes",
        "item": {"type": "message", "channel": "C1", "ts": "1610262363.001600"},
        "event_ts": "1610262400.1",
    }

    senders.send("slack", slack(**reaction))
    assert [row.emoji for row in senders.list_rows(Reaction)] == ["eyes"]

    senders.send("slack", slack(**{**reaction, "type": "reaction_removed", "event_ts": "17e8"}))
    assert senders.list_rows(Reaction) == []


def test_group_that_became_a_supergroup_stays_one_conversation(senders: WebhookSenders) -> None:
    senders.add_account("telegram")
    group: dict[str, Any] = {"id": -1, "type": "group"}
    supergroup = {"id": -100, "type": "supergroup"}

    senders.send("telegram", telegram(chat=group, text="one"))
    senders.send("telegram", telegram(chat=group, message_id=8, migrate_to_chat_id=-100))
    senders.send("telegram", telegram(chat=supergroup, message_id=9, text="two"))

    assert [conversation.key for conversation in senders.list_conversations()] == ["chat:-100"]


def test_stop_is_a_preference_of_the_contact(senders: WebhookSenders) -> None:
    senders.add_account("twilio")

    senders.send("twilio", twilio(Body="STOP", OptOutType="STOP"))

    (contact,) = senders.list_rows(Contact)
    assert contact.preferences == {"messages": "stop"}
    assert senders.list_messages() == []


def test_member_that_left_is_noted(senders: WebhookSenders) -> None:
    senders.add_account("telegram")
    group = {"id": -1, "type": "group"}
    senders.send("telegram", telegram(chat=group, text="one"))

    senders.send(
        "telegram",
        telegram(chat=group, message_id=8, left_chat_member={"id": 23, "first_name": "Ann"}),
    )

    (participant,) = senders.list_rows(Participant)
    assert participant.left_at is not None


def test_revoked_token_stops_the_account(senders: WebhookSenders) -> None:
    senders.add_account("slack")

    senders.send("slack", slack(type="tokens_revoked"))

    (account,) = senders.list_rows(Account)
    assert (account.state, account.error["code"]) == ("revoked", "tokens_revoked")


def test_error_of_the_account_is_shown(senders: WebhookSenders) -> None:
    senders.add_account("whatsapp")

    senders.send("whatsapp", whatsapp(errors=[{"code": 131000, "title": "Something went wrong"}]))

    (account,) = senders.list_rows(Account)
    assert (account.state, account.error["code"]) == ("active", "131000")


def test_control_of_a_thread_moves_between_app_and_people(senders: WebhookSenders) -> None:
    senders.add_account("messenger", settings={"app_id": "1"})
    senders.send("messenger", messenger(message={"mid": "m1", "text": "hi"}))

    senders.send("messenger", messenger(take_thread_control={"new_owner_app_id": "2"}))
    assert senders.list_conversations()[0].mode == "human"

    passed = messenger(timestamp=1749416400000, pass_thread_control={"new_owner_app_id": "1"})
    senders.send("messenger", passed)
    assert senders.list_conversations()[0].mode == "bot"


def test_last_of_several_equal_preferences_holds(senders: WebhookSenders) -> None:
    senders.add_account("twilio")

    for number, word in enumerate(("STOP", "START", "STOP")):
        senders.send("twilio", twilio(MessageSid=f"SM{number}", Body=word, OptOutType=word))

    (contact,) = senders.list_rows(Contact)
    assert contact.preferences == {"messages": "stop"}


def test_user_that_removes_the_bot_does_not_stop_the_account(senders: WebhookSenders) -> None:
    senders.add_account("teams")

    senders.send("teams", teams(type="installationUpdate", action="remove"))

    (account,) = senders.list_rows(Account)
    assert account.state == "active"


@pytest.mark.parametrize(
    ("ban", "state"),
    [
        ({}, "revoked"),
        ({"waba_ban_state": "DISABLE"}, "revoked"),
        ({"waba_ban_state": "SCHEDULE_FOR_DISABLE"}, "active"),
    ],
    ids=["unknown", "disabled", "scheduled"],
)
def test_only_a_disabled_whatsapp_account_is_stopped(
    senders: WebhookSenders, ban: dict[str, str], state: str
) -> None:
    senders.add_account("whatsapp")

    senders.send("whatsapp", whatsapp("account_update", event="DISABLED_UPDATE", ban_info=ban))

    (account,) = senders.list_rows(Account)
    assert account.state == state


def test_reinstated_whatsapp_account_sends_again(senders: WebhookSenders) -> None:
    senders.add_account("whatsapp")

    for ban_state in ("DISABLE", "REINSTATE"):
        ban = {"waba_ban_state": ban_state}
        payload = whatsapp("account_update", event="DISABLED_UPDATE", ban_info=ban)
        payload["entry"][0]["time"] = len(ban_state)
        senders.send("whatsapp", payload)

    (account,) = senders.list_rows(Account)
    assert (account.state, account.error) == ("active", None)


def test_bot_that_joins_a_conversation_is_no_contact(senders: WebhookSenders) -> None:
    senders.add_account("teams")
    senders.send("teams", teams(text="hi"))

    senders.send("teams", teams(type="conversationUpdate", membersAdded=[{"id": "28:bot"}]))

    assert len(senders.list_rows(Contact)) == 1


def test_echo_to_a_user_known_by_the_number_is_in_the_same_conversation(
    senders: WebhookSenders,
) -> None:
    senders.add_account("whatsapp")
    contact = {"wa_id": "15550150100", "user_id": "US.1"}
    text = {"type": "text", "text": {"body": "hi"}}
    senders.send("whatsapp", whatsapp(messages=[{"from": "15550150100", "id": "wamid.1", **text}]))

    echo = {"from": "15550783881", "to": "15550150100", "id": "wamid.2", **text}
    senders.send(
        "whatsapp", whatsapp("smb_message_echoes", contacts=[contact], message_echoes=[echo])
    )

    assert len(senders.list_conversations()) == 1
    assert len(senders.list_rows(Contact)) == 1
