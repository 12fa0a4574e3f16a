"""Messenger and Instagram: what the documentation describes beyond the recorded payloads."""

from typing import Any

import pytest

from tests.services.chat.domain.channels.normalising import messenger, normalise, normalise_one


def test_echo_without_app_is_a_message_of_a_colleague() -> None:
    payload = messenger(
        sender={"id": "PAGE"},
        recipient={"id": "PSID"},
        message={"mid": "m1", "text": "I am here", "is_echo": True},
    )

    event = normalise_one("messenger", payload)

    assert (event["direction"], event["source"]) == ("outbound", "native_app")
    assert event["conversation_key"] == "user:PSID"


def test_images_of_one_message_are_one_message() -> None:
    attachments = [{"type": "image", "payload": {"url": f"https://x/{n}"}} for n in range(3)]

    event = normalise_one("messenger", messenger(message={"mid": "m", "attachments": attachments}))

    assert event["content"]["type"] == "image"
    assert len(event["content"]["attachments"]) == 3


def test_postback_has_id_and_title() -> None:
    event = normalise_one(
        "messenger", messenger(postback={"mid": "m1", "title": "Start", "payload": "GO"})
    )

    assert event["external_id"] == "m1"
    assert event["content"] == {
        "type": "choice",
        "choice": {"id": "GO", "title": "Start"},
        "text": "Start",
    }


def test_edited_message_has_its_new_text() -> None:
    event = normalise_one(
        "messenger", messenger(message_edit={"mid": "m1", "text": "Corrected", "num_edit": 1})
    )

    assert (event["kind"], event["target"]) == ("edit", "m1")
    assert event["content"] == {"type": "text", "text": "Corrected"}


def test_removed_reaction_is_removed() -> None:
    event = normalise_one("messenger", messenger(reaction={"mid": "m1", "action": "unreact"}))

    assert event["action"] == "remove"


def test_read_receipt_has_the_time_up_to_which_is_read() -> None:
    event = normalise_one("messenger", messenger(read={"watermark": 1458668856253}))

    assert event == {
        "kind": "status",
        "status": "read",
        "watermark": "2016-03-22T17:47:36Z",
        "recipient": "PSID",
    }


@pytest.mark.parametrize(
    ("name", "action"),
    [("pass_thread_control", "pass"), ("take_thread_control", "take")],
)
def test_change_of_thread_control_is_a_handover(name: str, action: str) -> None:
    event = normalise_one("messenger", messenger(**{name: {"new_owner_app_id": "1"}}))

    assert (event["kind"], event["action"]) == ("handover", action)


def test_location_has_coordinates_and_title() -> None:
    attachment = {
        "type": "location",
        "title": "Ann's location",
        "payload": {"coordinates": {"lat": 1.5, "long": 2.5}},
    }

    event = normalise_one("messenger", messenger(message={"mid": "m", "attachments": [attachment]}))

    assert event["content"]["latitude"] == 1.5
    assert event["content"]["name"] == "Ann's location"


def test_instagram_message_as_change_is_a_message() -> None:
    value = {
        "sender": {"id": "IGSID"},
        "recipient": {"id": "IG"},
        "timestamp": "1749416383000",
        "message": {"mid": "m1", "text": "Hello"},
    }
    payload = {
        "object": "instagram",
        "entry": [{"id": "IG", "changes": [{"field": "messages", "value": value}]}],
    }

    assert normalise_one("messenger", payload)["content"] == {"type": "text", "text": "Hello"}


def test_comments_and_standby_are_ignored() -> None:
    payload = {
        "object": "page",
        "entry": [{"changes": [{"field": "feed", "value": {}}], "standby": [{"message": {}}]}],
    }

    reasons = [event.fields["reason"] for event in normalise("messenger", payload)]

    assert reasons == ["field:feed", "standby"]


def test_webhook_of_another_page_is_ignored() -> None:
    payload = messenger(message={"mid": "m1", "text": "Hello"})

    assert normalise_one("messenger", payload, {"page_id": "OTHER"})["reason"] == "other_account"


def test_sticker_that_is_also_sent_as_an_image_is_one_sticker() -> None:
    image = {"type": "image", "payload": {"url": "https://x/1"}}
    sticker = {"type": "sticker", "payload": {"url": "https://x/1", "sticker_id": 5}}

    event = normalise_one(
        "messenger", messenger(message={"mid": "m", "attachments": [image, sticker]})
    )

    assert event["content"] == {
        "type": "sticker",
        "attachments": [{"url": "https://x/1"}],
        "sticker_id": "5",
    }


def test_image_beside_a_link_preview_is_kept() -> None:
    preview = {"type": "fallback", "title": "X", "url": "https://example.org"}
    image = {"type": "image", "payload": {"url": "https://x/1"}}

    event = normalise_one(
        "messenger", messenger(message={"mid": "m", "attachments": [preview, image]})
    )

    assert event["content"] == {"type": "image", "attachments": [{"url": "https://x/1"}]}


def test_shared_post_with_text_has_both() -> None:
    post = {"type": "ig_post", "payload": {"title": "Shoes", "url": "https://x/1"}}

    event = normalise_one(
        "messenger", messenger(message={"mid": "m", "text": "In blue?", "attachments": [post]})
    )

    assert event["content"] == {
        "type": "link",
        "text": "In blue?",
        "title": "Shoes",
        "url": "https://x/1",
    }


def test_share_without_a_url_is_unsupported() -> None:
    message = {"mid": "m", "attachments": [{"type": "fallback"}]}

    assert normalise_one("messenger", messenger(message=message))["content"] == {
        "type": "unsupported",
        "what": "fallback",
    }


def test_reply_to_a_story_keeps_its_id() -> None:
    story = {"id": "ST1", "url": "https://x/1"}

    (event,) = normalise(
        "messenger", messenger(message={"mid": "m", "text": "Wow", "reply_to": {"story": story}})
    )

    assert event.context["story"] == "ST1"


@pytest.mark.parametrize(
    ("status", "value"), [("STOP_NOTIFICATIONS", "stop"), ("RESUME_NOTIFICATIONS", "resume")]
)
def test_choice_about_marketing_messages_is_a_preference(status: str, value: str) -> None:
    optin = {"type": "notification_messages", "notification_messages_status": status}

    assert normalise_one("messenger", messenger(optin=optin)) == {
        "kind": "preference",
        "sender": {"id": "PSID"},
        "category": "marketing_messages",
        "value": value,
    }


@pytest.mark.parametrize(
    ("item", "key"),
    [
        ({"message": {"mid": "m1", "is_echo": True, "is_deleted": True}}, "user:PSID"),
        ({"message_edit": {"mid": "m1", "text": "new"}}, "user:PSID"),
        ({"reaction": {"mid": "m1", "action": "react", "emoji": "❤"}}, None),
    ],
    ids=["delete", "edit", "reaction"],
)
def test_change_by_the_page_is_in_the_conversation_of_the_user(
    item: dict[str, Any], key: str | None
) -> None:
    payload = messenger(sender={"id": "PAGE"}, recipient={"id": "PSID"}, **item)

    event = normalise_one("messenger", payload)

    assert event["target"] == "m1"
    assert event.get("conversation_key") == key
    assert "sender" not in event


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("messaging_postbacks", {"postback": {"mid": "m1", "payload": "GO"}}, "message"),
        ("messaging_seen", {"read": {"mid": "m0"}}, "status"),
        ("messaging_referral", {"referral": {"ref": "r"}}, "optin"),
        ("messaging_handover", {"pass_thread_control": {"new_owner_app_id": "1"}}, "handover"),
    ],
)
def test_each_messaging_field_of_instagram_can_be_a_change(
    field: str, value: dict[str, Any], kind: str
) -> None:
    value = {"sender": {"id": "IGSID"}, "recipient": {"id": "IG"}, **value}
    payload = {
        "object": "instagram",
        "entry": [{"id": "IG", "changes": [{"field": field, "value": value}]}],
    }

    assert normalise_one("messenger", payload)["kind"] == kind


def test_shared_story_is_a_link() -> None:
    story = {"type": "ig_story", "payload": {"story_media_id": "1", "story_media_url": "https://x"}}

    event = normalise_one("instagram", messenger(message={"mid": "m", "attachments": [story]}))

    assert event["content"] == {"type": "link", "url": "https://x"}


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({"template_type": "button", "text": "What next?", "buttons": []}, "What next?"),
        ({"template_type": "generic", "elements": [{"title": "A"}, {"title": "B"}]}, "A\nB"),
        ({"product": {"elements": [{"id": "1", "title": "Shirt"}]}}, "Shirt"),
    ],
    ids=["buttons", "elements", "product"],
)
def test_template_keeps_its_text(payload: dict[str, Any], text: str) -> None:
    attachments = [{"type": "template", "payload": payload}]

    event = normalise_one("messenger", messenger(message={"mid": "m", "attachments": attachments}))

    assert event["content"] == {"type": "unsupported", "what": "template", "text": text}
