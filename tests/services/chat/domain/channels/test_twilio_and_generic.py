"""Twilio and the custom channel: what the documentation describes beyond the recorded payloads."""

from typing import Any

import pytest

from tests.services.chat.domain.channels.normalising import normalise_one, twilio


def test_message_without_body_has_an_empty_text() -> None:
    assert normalise_one("twilio", twilio())["content"] == {"type": "text", "text": ""}


def test_message_with_several_images_is_one_message() -> None:
    fields = twilio(NumMedia="2", Body="see")
    for index in range(2):
        fields |= {
            f"MediaContentType{index}": "image/png",
            f"MediaUrl{index}": f"https://api.twilio.com/{index}",
        }

    content = normalise_one("twilio", fields)["content"]

    assert content["type"] == "image"
    assert len(content["attachments"]) == 2


@pytest.mark.parametrize("count", ["-1", "abc", "99999999999", "", "1e400"])
def test_impossible_count_of_media_is_bounded(count: str) -> None:
    assert normalise_one("twilio", twilio(NumMedia=count))["content"]["type"] == "text"


def test_button_of_whatsapp_is_a_choice() -> None:
    fields = twilio(From="whatsapp:+15550100", ButtonPayload="yes", ButtonText="Yes", Body="Yes")

    event = normalise_one("twilio", fields)

    assert event["via"] == "whatsapp"
    assert event["content"]["choice"] == {"id": "yes", "title": "Yes"}


def test_location_of_whatsapp() -> None:
    fields = twilio(From="whatsapp:+1", Latitude="1.5", Longitude="2.5", Label="Office")

    assert normalise_one("twilio", fields)["content"]["name"] == "Office"


def test_stop_is_a_preference() -> None:
    event = normalise_one("twilio", twilio(Body="STOP", OptOutType="STOP"))

    assert (event["kind"], event["value"]) == ("preference", "stop")


@pytest.mark.parametrize(
    ("fields", "content"),
    [
        ({"Digits": "2"}, {"type": "choice", "choice": {"id": "2", "title": "2"}, "text": "2"}),
        ({"SpeechResult": "Hello"}, {"type": "text", "text": "Hello"}),
    ],
    ids=["digits", "speech"],
)
def test_input_of_a_caller_is_a_message(fields: dict[str, str], content: dict[str, Any]) -> None:
    payload = {"CallSid": "CA1", "From": "+15550100", "CallStatus": "in-progress", **fields}

    event = normalise_one("twilio", payload)

    assert (event["via"], event["content"]) == ("voice", content)


def test_unknown_state_is_ignored() -> None:
    assert normalise_one("twilio", twilio(MessageStatus="teleported"))["reason"] == (
        "status:teleported"
    )


def test_webhook_of_another_twilio_account_is_ignored() -> None:
    fields = twilio(AccountSid="AC1", Body="hi")

    assert normalise_one("twilio", fields, {"account_sid": "AC2"})["reason"] == "other_account"


def test_custom_message_with_content_and_conversation() -> None:
    payload = {
        "type": "message",
        "timestamp": "2026-01-31T13:00:00+01:00",
        "data": {
            "id": "m-1",
            "user_id": "u-1",
            "name": "Ann",
            "conversation_id": "c-1",
            "content": {"type": "text", "text": "Hello"},
        },
    }

    assert normalise_one("generic", payload) == {
        "kind": "message",
        "direction": "inbound",
        "external_id": "m-1",
        "sender": {"id": "u-1", "name": "Ann"},
        "conversation_key": "conversation:c-1",
        "at": "2026-01-31T12:00:00Z",
        "content": {"type": "text", "text": "Hello"},
    }


def test_custom_message_may_be_flat() -> None:
    event = normalise_one("generic", {"user_id": 5, "text": "Hello"})

    assert event["sender"] == {"id": "5"}
    assert event["conversation_key"] == "user:5"


def test_custom_message_without_user_is_ignored() -> None:
    assert normalise_one("generic", {"text": "Hello"})["reason"] == "no_user_id"


@pytest.mark.parametrize("kind", ["edit", "delete", "reaction", "typing"])
def test_custom_event(kind: str) -> None:
    payload = {"type": kind, "data": {"id": "m-1", "user_id": "u-1", "text": "x", "emoji": "👍"}}

    assert normalise_one("generic", payload)["kind"] == kind


def test_button_without_a_payload_is_a_choice() -> None:
    fields = twilio(From="whatsapp:+15550100", ButtonText="Yes", Body="Yes")

    assert normalise_one("twilio", fields)["content"]["choice"] == {"id": "Yes", "title": "Yes"}


def test_answers_of_a_flow_are_a_form() -> None:
    fields = twilio(From="whatsapp:+15550100", InteractiveData='{"name": "Ann"}')

    assert normalise_one("twilio", fields)["content"] == {
        "type": "form",
        "values": {"name": "Ann"},
    }


def test_unreadable_answers_of_a_flow_leave_the_text() -> None:
    fields = twilio(InteractiveData="{", Body="Done")

    assert normalise_one("twilio", fields)["content"] == {"type": "text", "text": "Done"}


def test_error_code_zero_is_no_error() -> None:
    assert "error" not in normalise_one("twilio", twilio(MessageStatus="sent", ErrorCode="0"))


def test_caller_of_an_outbound_call_is_its_receiver() -> None:
    call = {"CallSid": "CA1", "From": "+15550199", "To": "+15550100", "Direction": "outbound-api"}

    event = normalise_one("twilio", {**call, "CallStatus": "in-progress", "SpeechResult": "Yes"})

    assert event["sender"] == {"id": "+15550100"}


def test_recording_of_a_call_is_no_state_of_it() -> None:
    payload = {"CallSid": "CA1", "RecordingSid": "RE1", "RecordingStatus": "completed"}

    assert normalise_one("twilio", payload) == {"kind": "ignored", "reason": "event:recording"}


@pytest.mark.parametrize("digits", ["hangup", "#"])
def test_key_that_ends_a_recording_is_no_input(digits: str) -> None:
    recording = {"RecordingSid": "RE1", "RecordingUrl": "https://x/1", "Digits": digits}
    payload = {"CallSid": "CA1", "From": "+15550100", "CallStatus": "completed", **recording}

    assert normalise_one("twilio", payload)["kind"] == "call"


def test_event_of_the_conversations_api_is_ignored() -> None:
    payload = {
        "EventType": "onDeliveryUpdated",
        "ConversationSid": "CH1",
        "MessageSid": "IM1",
        "Status": "read",
    }

    assert normalise_one("twilio", payload)["reason"] == "event:onDeliveryUpdated"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            {"type": "link", "url": "https://x", "title": "X"},
            {"type": "link", "title": "X", "url": "https://x"},
        ),
        (
            {"type": "command", "command": "/ask", "text": "now"},
            {"type": "command", "command": "/ask", "text": "now"},
        ),
        (
            {"type": "hologram", "text": "Hello"},
            {"type": "unsupported", "what": "hologram", "text": "Hello"},
        ),
    ],
    ids=["link", "command", "unknown"],
)
def test_custom_content_keeps_its_text(content: dict[str, str], expected: dict[str, str]) -> None:
    payload = {"type": "message", "data": {"id": "m-1", "user_id": "u-1", "content": content}}

    assert normalise_one("generic", payload)["content"] == expected
