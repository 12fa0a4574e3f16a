"""WhatsApp: what the documentation describes beyond the recorded payloads."""

from tests.services.chat.domain.channels.normalising import (
    normalise,
    normalise_one,
    whatsapp,
    whatsapp_message,
)

BSUID = "US.13491208655302741918"


def test_message_of_a_user_without_number_has_the_bsuid_as_sender() -> None:
    payload = whatsapp(
        contacts=[{"profile": {"name": "Ann"}, "user_id": BSUID}],
        messages=[
            {
                "from_user_id": BSUID,
                "id": "wamid.1",
                "timestamp": "1749416383",
                "type": "text",
                "text": {"body": "Hello"},
            }
        ],
    )

    event = normalise_one("whatsapp", payload)

    assert event["sender"] == {"id": BSUID, "ids": {"bsuid": BSUID}, "name": "Ann"}
    assert event["conversation_key"] == f"user:{BSUID}"


def test_message_with_error_is_unsupported_with_its_reason() -> None:
    payload = whatsapp_message(
        type="unsupported", errors=[{"code": 131052, "title": "Media download error"}]
    )

    assert normalise_one("whatsapp", payload)["content"] == {
        "type": "unsupported",
        "what": "unsupported",
        "error": {"code": "131052", "title": "Media download error"},
    }


def test_message_of_a_group_has_the_key_of_the_group() -> None:
    payload = whatsapp_message(
        type="text", text={"body": "@15550783881 help"}, group_id="120363@g.us"
    )

    (event,) = normalise("whatsapp", payload)

    assert event.fields["conversation_key"] == "group:120363@g.us"
    assert event.fields["group"] is True
    assert event.context["mentioned"] is True


def test_message_of_a_group_without_our_number_is_not_a_mention() -> None:
    payload = whatsapp_message(type="text", text={"body": "help"}, group_id="120363@g.us")

    assert normalise("whatsapp", payload)[0].context["mentioned"] is False


def test_edit_replaces_the_content_of_the_original() -> None:
    payload = whatsapp_message(
        type="edit",
        edit={
            "original_message_id": "wamid.0",
            "message": {"type": "text", "text": {"body": "Corrected"}},
        },
    )

    event = normalise_one("whatsapp", payload)

    assert (event["kind"], event["target"]) == ("edit", "wamid.0")
    assert event["content"] == {"type": "text", "text": "Corrected"}


def test_revoked_message_is_a_deletion() -> None:
    payload = whatsapp_message(type="revoke", revoke={"original_message_id": "wamid.0"})

    event = normalise_one("whatsapp", payload)

    assert (event["kind"], event["target"]) == ("delete", "wamid.0")


def test_reaction_without_emoji_is_removed() -> None:
    payload = whatsapp_message(type="reaction", reaction={"message_id": "wamid.0", "emoji": ""})

    event = normalise_one("whatsapp", payload)

    assert event["action"] == "remove"
    assert "emoji" not in event


def test_echo_of_the_business_app_is_a_message_of_a_colleague() -> None:
    payload = whatsapp(
        "smb_message_echoes",
        message_echoes=[
            {
                "from": "15550783881",
                "to": "15550150100",
                "id": "wamid.9",
                "timestamp": "1749416383",
                "type": "text",
                "text": {"body": "I am here"},
            }
        ],
    )

    event = normalise_one("whatsapp", payload)

    assert event["direction"] == "outbound"
    assert event["source"] == "native_app"
    assert event["conversation_key"] == "user:15550150100"
    assert "sender" not in event


def test_status_returns_our_reference() -> None:
    payload = whatsapp(
        statuses=[
            {
                "id": "wamid.1",
                "status": "played",
                "timestamp": "1749416383",
                "recipient_id": "15550150100",
                "biz_opaque_callback_data": "ref-1",
            }
        ]
    )

    event = normalise_one("whatsapp", payload)

    assert (event["status"], event["delivery_ref"]) == ("read", "ref-1")


def test_state_of_a_call_is_a_call_event() -> None:
    status = {"id": "wacid.1", "type": "call", "status": "RINGING", "timestamp": "1749416383"}

    for field in ("calls", "messages"):
        event = normalise_one("whatsapp", whatsapp(field, statuses=[status]))
        assert (event["kind"], event["event"]) == ("call", "ringing")


def test_webhook_of_another_number_is_ignored() -> None:
    payload = whatsapp_message(type="text", text={"body": "Hello"})

    event = normalise_one("whatsapp", payload, {"phone_number_id": "999"})

    assert event == {"kind": "ignored", "reason": "other_account"}


def test_unknown_field_and_message_type_are_named() -> None:
    assert normalise_one("whatsapp", whatsapp("flows")) == {
        "kind": "ignored",
        "reason": "field:flows",
    }
    assert normalise_one("whatsapp", whatsapp_message(type="hologram"))["content"] == {
        "type": "unsupported",
        "what": "hologram",
    }


def test_location_has_coordinates_and_name() -> None:
    payload = whatsapp_message(
        type="location", location={"latitude": 1.5, "longitude": 2, "name": "Office"}
    )

    assert normalise_one("whatsapp", payload)["content"] == {
        "type": "location",
        "latitude": 1.5,
        "longitude": 2.0,
        "name": "Office",
    }


def test_template_status_names_the_template() -> None:
    payload = whatsapp(
        "message_template_status_update",
        event="REJECTED",
        message_template_id=1689556908129832,
        message_template_name="order",
        message_template_language="en-US",
        reason="INVALID_FORMAT",
    )

    event = normalise_one("whatsapp", payload)

    assert (event["kind"], event["name"], event["status"]) == ("template", "order", "rejected")


def test_several_messages_of_one_webhook_are_all_kept() -> None:
    messages = [
        {"from": "1555", "id": f"wamid.{n}", "type": "text", "text": {"body": str(n)}}
        for n in range(3)
    ]

    events = normalise("whatsapp", whatsapp(messages=messages))

    assert [event.fields["external_id"] for event in events] == ["wamid.0", "wamid.1", "wamid.2"]
