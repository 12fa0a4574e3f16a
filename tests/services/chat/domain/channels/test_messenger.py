"""Messenger and Instagram: what the documentation describes beyond the recorded payloads."""

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
