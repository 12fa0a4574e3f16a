"""WhatsApp: what the documentation describes beyond the recorded payloads."""

from typing import Any

import pytest

from backend.services.chat.domain.channels.registry import build_dedup_key
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


def test_unsupported_message_names_what_the_user_sent() -> None:
    payload = whatsapp_message(
        type="unsupported",
        unsupported={"type": "poll_creation"},
        errors=[{"code": 131051, "title": "Message type unknown"}],
    )

    assert normalise_one("whatsapp", payload)["content"]["what"] == "poll_creation"


def test_question_about_a_product_refers_to_it() -> None:
    product = {"catalog_id": "C1", "product_retailer_id": "SKU1"}
    payload = whatsapp_message(
        type="text", text={"body": "In blue?"}, context={"referred_product": product}
    )

    assert normalise_one("whatsapp", payload)["referral"] == {"source": "product", "id": "SKU1"}


def test_contact_card_has_its_addresses_and_company() -> None:
    card = {
        "name": {"formatted_name": "Bob"},
        "emails": [{"email": "bob@example.org"}, {"type": "WORK"}],
        "org": {"company": "Example"},
    }
    payload = whatsapp_message(type="contacts", contacts=[card])

    assert normalise_one("whatsapp", payload)["content"]["contacts"] == [
        {"name": "Bob", "emails": ["bob@example.org"], "company": "Example"}
    ]


@pytest.mark.parametrize(
    "system",
    [
        {"user_id": "MX.2", "previous_user_id": "CO.1"},
        {"user_id": "MX.2", "body": "User Ann changed from CO.1 to MX.2"},
    ],
    ids=["member", "text"],
)
def test_changed_user_id_is_an_identity(system: dict[str, Any]) -> None:
    message = {"timestamp": "1749416383", "type": "system"}
    system = {"type": "user_changed_user_id", **system}
    payload = whatsapp(messages=[{**message, "system": system}])

    assert normalise_one("whatsapp", payload) == {
        "kind": "identity",
        "old_id": "CO.1",
        "new_id": "MX.2",
        "at": "2025-06-08T20:59:43Z",
    }


def test_changed_user_id_without_the_old_one_is_ignored() -> None:
    system = {"type": "user_changed_user_id", "user_id": "MX.2"}
    payload = whatsapp(messages=[{"type": "system", "system": system}])

    assert normalise_one("whatsapp", payload)["reason"] == "system:user_changed_user_id"


def send_echo(**echo: Any) -> dict[str, Any]:
    common = {"from": "15550783881", "to": "15550150100", "id": "wamid.9"}
    contacts = [{"profile": {"name": "Ann"}, "wa_id": "15550150100", "user_id": BSUID}]
    payload = whatsapp("smb_message_echoes", contacts=contacts, message_echoes=[{**common, **echo}])
    return normalise_one("whatsapp", payload)


def test_echo_has_the_key_of_the_messages_of_its_receiver() -> None:
    event = send_echo(type="text", text={"body": "Hello"})

    assert event["conversation_key"] == f"user:{BSUID}"


@pytest.mark.parametrize(
    ("echo", "kind"),
    [
        ({"type": "reaction", "reaction": {"message_id": "wamid.1", "emoji": "👍"}}, "reaction"),
        ({"type": "revoke", "revoke": {"original_message_id": "wamid.1"}}, "delete"),
        (
            {
                "type": "edit",
                "edit": {"original_message_id": "wamid.1", "message": {"type": "text"}},
            },
            "edit",
        ),
    ],
    ids=["reaction", "delete", "edit"],
)
def test_change_by_a_colleague_has_no_sender(echo: dict[str, Any], kind: str) -> None:
    event = send_echo(**echo)

    assert (event["kind"], event["target"]) == (kind, "wamid.1")
    assert "sender" not in event


@pytest.mark.parametrize("state", ["captured", "failed"])
def test_state_of_a_payment_is_not_that_of_its_message(state: str) -> None:
    status = {"id": "wamid.1", "type": "payment", "status": state, "recipient_id": "1555"}

    event = normalise_one("whatsapp", whatsapp(statuses=[status]))

    assert event == {"kind": "ignored", "reason": "status:payment"}


def test_preference_without_a_user_is_that_of_the_contact() -> None:
    payload = whatsapp(
        "user_preferences",
        contacts=[{"wa_id": "15550150100"}],
        user_preferences=[{"category": "marketing_messages", "value": "stop"}],
    )

    assert normalise_one("whatsapp", payload)["sender"] == {"id": "15550150100"}


def test_group_that_could_not_be_created_is_ignored() -> None:
    payload = whatsapp("group_lifecycle_update", groups=[{"type": "group_create", "errors": []}])

    assert normalise_one("whatsapp", payload)["reason"] == "group:group_create"


def test_alert_names_its_type() -> None:
    payload = whatsapp("account_alerts", alert_info={"alert_type": "OBA_APPROVED"})

    assert normalise_one("whatsapp", payload) == {"kind": "account", "state": "oba_approved"}


def test_template_that_is_approved_again_is_another_event() -> None:
    keys = []
    for event, time in (("APPROVED", 1), ("PAUSED", 2), ("APPROVED", 3), ("APPROVED", 3)):
        payload = whatsapp("message_template_status_update", event=event, message_template_id=1)
        payload["entry"][0]["time"] = time
        keys.append(build_dedup_key(normalise("whatsapp", payload)[0]))

    assert len(set(keys)) == 3
    assert keys[2] == keys[3]


def test_caption_with_our_number_is_a_mention_in_a_group() -> None:
    image = {"id": "1", "mime_type": "image/jpeg", "caption": "@15550783881 what is it?"}
    payload = whatsapp_message(type="image", image=image, group_id="120363@g.us")

    assert normalise("whatsapp", payload)[0].context["mentioned"] is True


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ({"first_name": "Ann", "last_name": "Lee"}, "Ann Lee"),
        ({"last_name": "Lee"}, "Lee"),
        ({"first_name": "Ann", "formatted_name": "Dr Ann Lee"}, "Dr Ann Lee"),
    ],
    ids=["parts", "last-name", "formatted"],
)
def test_contact_card_has_the_name_that_is_there(name: dict[str, str], expected: str) -> None:
    payload = whatsapp_message(type="contacts", contacts=[{"name": name}])

    assert normalise_one("whatsapp", payload)["content"]["contacts"] == [{"name": expected}]
