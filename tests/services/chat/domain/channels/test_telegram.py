"""Telegram: what the documentation describes beyond the recorded payloads."""

from typing import Any

import pytest

from tests.services.chat.domain.channels.normalising import normalise, normalise_one, telegram

GROUP = {"id": -100, "type": "supergroup", "title": "Team"}
ACCOUNT = {"bot_username": "suite_bot", "bot_id": 99}


@pytest.mark.parametrize(
    ("message", "is_mentioned"),
    [
        ({"text": "hello"}, False),
        ({"text": "hello @suite_bot, help"}, True),
        ({"text": "hello @suite_bot_2"}, False),
        ({"text": "/help@suite_bot"}, True),
        ({"text": "Привет,@suite_bot!Что нового"}, True),
        (
            {"text": "Suite, help", "entities": [{"type": "text_mention", "user": {"id": 99}}]},
            True,
        ),
        ({"caption": "@Suite_Bot", "photo": [{"file_id": "f"}]}, True),
        (
            {"text": "yes", "reply_to_message": {"message_id": 3, "from": {"id": 99}}},
            True,
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_message_of_a_group_is_for_us_if_it_mentions_us(
    message: dict[str, Any], is_mentioned: bool
) -> None:
    (event,) = normalise("telegram", telegram(chat=GROUP, **message), ACCOUNT)

    assert event.context["mentioned"] is is_mentioned
    assert event.fields["group"] is True


def test_message_of_a_topic_has_the_key_of_the_topic() -> None:
    payload = telegram(
        chat=GROUP,
        text="hi",
        message_thread_id=5,
        is_topic_message=True,
        reply_to_message={"message_id": 5},
    )

    event = normalise_one("telegram", payload)

    assert event["conversation_key"] == "chat:-100:5"
    assert "reply_to" not in event


def test_images_of_an_album_have_its_id() -> None:
    (event,) = normalise(
        "telegram", telegram(photo=[{"file_id": "f"}], media_group_id="album-1", caption="x")
    )

    assert event.context["album"] == "album-1"


def test_command_has_its_arguments() -> None:
    payload = telegram(
        text="/start@suite_bot promo 1",
        entities=[{"type": "bot_command", "offset": 0, "length": 16}],
    )

    assert normalise_one("telegram", payload)["content"] == {
        "type": "command",
        "command": "/start",
        "text": "promo 1",
    }


def test_pressed_button_is_a_choice_with_its_title() -> None:
    payload = {
        "update_id": 1,
        "callback_query": {
            "id": "4382",
            "from": {"id": 23, "first_name": "Ann"},
            "data": "yes",
            "message": {
                "message_id": 8,
                "chat": {"id": 23, "type": "private"},
                "reply_markup": {"inline_keyboard": [[{"text": "Yes", "callback_data": "yes"}]]},
            },
        },
    }

    (event,) = normalise("telegram", payload)

    assert event.fields["content"] == {
        "type": "choice",
        "choice": {"id": "yes", "title": "Yes"},
        "text": "Yes",
    }
    assert event.fields["reply_to"] == "8"
    assert event.context["callback_query_id"] == "4382"


def test_edited_message_is_an_edit() -> None:
    payload = telegram("edited_message", text="new", edit_date=1749416400)

    event = normalise_one("telegram", payload)

    assert (event["kind"], event["target"]) == ("edit", "7")
    assert event["content"] == {"type": "text", "text": "new"}


def test_reactions_are_the_difference_of_old_and_new() -> None:
    payload = {
        "update_id": 1,
        "message_reaction": {
            "chat": {"id": 23, "type": "private"},
            "message_id": 7,
            "user": {"id": 23, "first_name": "Ann"},
            "date": 1749416383,
            "old_reaction": [{"type": "emoji", "emoji": "👍"}, {"type": "emoji", "emoji": "🔥"}],
            "new_reaction": [{"type": "emoji", "emoji": "🔥"}, {"type": "emoji", "emoji": "🎉"}],
        },
    }

    events = [event.to_json() for event in normalise("telegram", payload)]

    assert [(event["action"], event["emoji"]) for event in events] == [
        ("remove", "👍"),
        ("add", "🎉"),
    ]


def test_message_of_a_business_chat() -> None:
    inbound = telegram("business_message", business_connection_id="bc", text="hi")
    outbound = telegram(
        "business_message", business_connection_id="bc", text="hello", **{"from": {"id": 50}}
    )

    assert normalise_one("telegram", inbound)["direction"] == "inbound"
    event = normalise_one("telegram", outbound)
    assert (event["direction"], event["source"]) == ("outbound", "native_app")
    assert event["conversation_key"] == "business:bc:chat:23"


def test_deleted_business_messages_are_deletions() -> None:
    payload = {
        "update_id": 1,
        "deleted_business_messages": {
            "business_connection_id": "bc",
            "chat": {"id": 23, "type": "private"},
            "message_ids": [1, 2],
        },
    }

    assert [event.fields["target"] for event in normalise("telegram", payload)] == ["1", "2"]


def test_members_of_a_group_join_and_leave() -> None:
    joined = telegram(chat=GROUP, new_chat_members=[{"id": 5, "first_name": "Bob"}])
    left = telegram(chat=GROUP, left_chat_member={"id": 5, "first_name": "Bob"})

    assert normalise_one("telegram", joined)["action"] == "join"
    assert normalise_one("telegram", left)["action"] == "leave"


@pytest.mark.parametrize(
    ("message", "content_type"),
    [
        ({"poll": {"id": "1", "question": "?"}}, "unsupported"),
        ({"video_note": {"file_id": "f"}}, "video"),
        ({"animation": {"file_id": "f"}, "document": {"file_id": "f"}}, "video"),
        ({"contact": {"phone_number": "1", "first_name": "Bob"}}, "contacts"),
        ({"web_app_data": {"data": "x", "button_text": "Open"}}, "choice"),
        ({"game": {"title": "x"}}, "unsupported"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_content_type_of_a_message(message: dict[str, Any], content_type: str) -> None:
    assert normalise_one("telegram", telegram(**message))["content"]["type"] == content_type


@pytest.mark.parametrize("name", ["poll", "poll_answer", "channel_post", "inline_query", "future"])
def test_other_updates_are_ignored(name: str) -> None:
    assert normalise_one("telegram", {"update_id": 1, name: {"id": "1"}}) == {
        "kind": "ignored",
        "reason": f"update:{name}",
    }


def test_message_of_a_bot_is_ignored() -> None:
    payload = telegram(text="hi", **{"from": {"id": 9, "is_bot": True}})

    assert normalise_one("telegram", payload)["reason"] == "bot_message"


def test_caption_of_a_message_without_media_is_its_text() -> None:
    content = normalise_one("telegram", telegram(caption="test"))["content"]

    assert content == {"type": "text", "text": "test"}


def test_caption_of_unsupported_content_is_kept() -> None:
    content = normalise_one("telegram", telegram(paid_media={}, caption="test"))["content"]

    assert content == {"type": "unsupported", "what": "paid_media", "text": "test"}


def test_file_of_a_new_kind_of_media_is_kept() -> None:
    payload = telegram(hologram={"file_id": "f", "mime_type": "video/mp4"}, caption="test")

    assert normalise_one("telegram", payload)["content"] == {
        "type": "video",
        "text": "test",
        "attachments": [{"media_id": "f", "mime": "video/mp4"}],
    }


def test_command_ends_at_a_line_break() -> None:
    payload = telegram(
        text="/ask\nHow are you?", entities=[{"type": "bot_command", "offset": 0, "length": 4}]
    )

    content = normalise_one("telegram", payload)["content"]

    assert (content["command"], content["text"]) == ("/ask", "How are you?")


def test_post_that_a_channel_forwards_to_its_group_is_of_the_channel() -> None:
    payload = telegram(
        chat=GROUP,
        text="news",
        sender_chat={"id": -200, "type": "channel", "title": "News"},
        is_automatic_forward=True,
        **{"from": {"id": 777000, "is_bot": False, "first_name": "Telegram"}},
    )

    assert normalise_one("telegram", payload)["sender"] == {"id": "-200", "name": "News"}


def test_direct_messages_of_a_channel_are_one_conversation_for_each_user() -> None:
    chat = {"id": -300, "type": "supergroup", "is_direct_messages": True}
    payload = telegram(chat=chat, text="hi", direct_messages_topic={"topic_id": 23})

    (event,) = normalise("telegram", payload)

    assert event.fields["conversation_key"] == "chat:-300:direct-23"
    assert event.context["group"] is False


def test_edit_by_the_owner_of_a_business_account_has_no_sender() -> None:
    payload = telegram(
        "edited_business_message", business_connection_id="bc", text="new", **{"from": {"id": 50}}
    )

    event = normalise_one("telegram", payload)

    assert (event["kind"], event["conversation_key"]) == ("edit", "business:bc:chat:23")
    assert "sender" not in event


@pytest.mark.parametrize(
    ("old", "new", "action"),
    [
        ({"status": "left"}, {"status": "member"}, "join"),
        ({"status": "member"}, {"status": "kicked"}, "leave"),
        ({"status": "member"}, {"status": "administrator"}, None),
        ({"status": "member"}, {"status": "restricted", "is_member": True}, None),
        ({"status": "member"}, {"status": "restricted", "is_member": False}, "leave"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_only_members_that_come_or_go_are_participants(
    old: dict[str, Any], new: dict[str, Any], action: str | None
) -> None:
    user = {"id": 5, "first_name": "Bob"}
    update = {
        "chat": GROUP,
        "old_chat_member": {"user": user, **old},
        "new_chat_member": {"user": user, **new},
    }

    event = normalise_one("telegram", {"update_id": 1, "chat_member": update})

    assert event.get("action") == action
    assert event["kind"] == ("participants" if action else "ignored")


def test_own_bot_that_joins_a_group_is_no_contact() -> None:
    members = [{"id": 99, "is_bot": True, "first_name": "Suite"}, {"id": 5, "first_name": "Bob"}]

    events = normalise("telegram", telegram(chat=GROUP, new_chat_members=members), ACCOUNT)

    assert [event.context["own"] for event in events] == [True, False]


def test_edit_by_our_bot_in_a_business_chat_is_ignored() -> None:
    payload = telegram(
        "edited_business_message",
        business_connection_id="bc",
        text="new",
        sender_business_bot={"id": 99, "is_bot": True},
        **{"from": {"id": 50}},
    )

    assert normalise_one("telegram", payload)["reason"] == "bot_message"
