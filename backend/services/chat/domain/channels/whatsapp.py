"""Webhooks of the WhatsApp Cloud API, fields as in Meta's webhook reference.

A user is named by the business-scoped user id (BSUID), by the phone number (`wa_id`), or by both.
"""

from collections.abc import Callable, Iterator
from typing import Final

from backend.services.chat.domain.channels.events import (
    ChannelEvent,
    build_error,
    build_event,
    ignore,
    mark_occurrence,
)
from backend.services.chat.domain.channels.fields import (
    Object,
    from_unix,
    get_id,
    get_number,
    get_object,
    get_objects,
    get_text,
)
from backend.services.chat.domain.channels.whatsapp_messages import (
    get_context,
    normalise_echo,
    normalise_message,
)

# `played` is a voice message that the user listened to.
_STATUSES: Final = {
    "accepted": "queued",
    "sent": "sent",
    "delivered": "delivered",
    "read": "read",
    "played": "read",
    "failed": "failed",
}


def normalise(payload: Object, account: Object) -> list[ChannelEvent]:
    """Return the events of a webhook of the object `whatsapp_business_account`."""
    events: list[ChannelEvent] = []
    for entry in get_objects(payload, "entry"):
        for change in get_objects(entry, "changes"):
            found = _normalise_change(change, account)
            events += mark_occurrence(found, get_id(entry, "time"))
    return events or [ignore("empty")]


def _normalise_change(change: Object, account: Object) -> Iterator[ChannelEvent]:
    field = get_text(change, "field")
    value = get_object(change, "value")
    receiver = get_id(get_object(value, "metadata"), "phone_number_id")
    own = get_id(account, "phone_number_id")
    if own and receiver and own != receiver:
        yield ignore("other_account")
        return
    handler = _FIELDS.get(field)
    if handler is None:
        yield ignore(f"field:{field}")
        return
    yield from handler(value)


def _normalise_messages(value: Object) -> Iterator[ChannelEvent]:
    for message in get_objects(value, "messages"):
        yield normalise_message(message, value)
    for status in get_objects(value, "statuses"):
        yield _normalise_status(status)
    for error in get_objects(value, "errors"):
        yield build_event("account", state="error", error=build_error(error))


def _normalise_status(status: Object) -> ChannelEvent:
    kind = get_text(status, "type")
    if kind == "call":
        return _normalise_call_status(status)
    if kind == "payment":  # says nothing of the message that asked for the payment
        return ignore("status:payment")
    name = get_text(status, "status")
    if name not in _STATUSES:
        return ignore(f"status:{name}")
    errors = get_objects(status, "errors")
    recipient_keys = ("recipient_participant_user_id", "recipient_participant_id")
    return build_event(
        "status",
        target=get_id(status, "id"),
        status=_STATUSES[name],
        at=from_unix(get_number(status, "timestamp")),
        error=build_error(errors[0]) if errors else None,
        recipient=get_id(status, *recipient_keys, "recipient_user_id", "recipient_id"),
        delivery_ref=get_text(status, "biz_opaque_callback_data"),
    )


def _normalise_calls(value: Object) -> Iterator[ChannelEvent]:
    for call in get_objects(value, "calls"):
        yield build_event(
            "call",
            get_context(value),
            external_id=get_id(call, "id"),
            event=get_text(call, "event"),
            direction=_get_call_direction(call),
            at=from_unix(get_number(call, "timestamp")),
        )
    for status in get_objects(value, "statuses"):
        yield _normalise_call_status(status)


def _get_call_direction(call: Object) -> str:
    return "outbound" if get_text(call, "direction") == "BUSINESS_INITIATED" else "inbound"


def _normalise_call_status(status: Object) -> ChannelEvent:
    """Normalise the state of a call, which only calls of the business have."""
    return build_event(
        "call",
        external_id=get_id(status, "id"),
        event=get_text(status, "status").lower(),
        direction="outbound",
        at=from_unix(get_number(status, "timestamp")),
    )


def _normalise_echoes(value: Object) -> Iterator[ChannelEvent]:
    for echo in get_objects(value, "message_echoes"):
        yield normalise_echo(echo, value)


def _normalise_user_ids(value: Object) -> Iterator[ChannelEvent]:
    for update in get_objects(value, "user_id_update"):
        user = get_object(update, "user_id")
        yield build_event(
            "identity",
            {"occurrence": get_id(update, "timestamp")},
            old_id=get_id(user, "previous"),
            new_id=get_id(user, "current"),
            wa_id=get_id(update, "wa_id"),
        )


def _normalise_preferences(value: Object) -> Iterator[ChannelEvent]:
    contacts = get_objects(value, "contacts")
    contact = contacts[0] if len(contacts) == 1 else {}
    for preference in get_objects(value, "user_preferences"):
        user = get_id(preference, "user_id", "wa_id") or get_id(contact, "user_id", "wa_id")
        yield build_event(
            "preference",
            {"occurrence": get_id(preference, "timestamp")},
            sender={"id": user} if user else None,
            category=get_text(preference, "category"),
            value=get_text(preference, "value"),
        )


def _normalise_groups(value: Object) -> Iterator[ChannelEvent]:
    for group in get_objects(value, "groups"):
        identifier = get_id(group, "group_id")
        if not identifier:  # a group that could not be created
            yield ignore(f"group:{get_text(group, 'type')}")
            continue
        names = ("timestamp", "type", "request_id", "join_request_id")
        occurrence = ":".join(get_id(group, name) for name in names)
        yield build_event(
            "participants",
            {**group, "occurrence": occurrence},
            conversation_key=f"group:{identifier}",
        )


def _normalise_template(value: Object) -> Iterator[ChannelEvent]:
    status = get_text(value, "event", "new_quality_score", "new_category").lower()
    reason = get_text(value, "reason")
    yield build_event(
        "template",
        template_id=get_id(value, "message_template_id"),
        name=get_text(value, "message_template_name"),
        language=get_text(value, "message_template_language"),
        status=status,
        reason="" if reason == "NONE" else reason,
    )


def _normalise_account(value: Object) -> Iterator[ChannelEvent]:
    alert = get_object(value, "alert_info")
    state = get_text(value, "event", "current_limit", "decision") or get_text(alert, "alert_type")
    ban = get_text(get_object(value, "ban_info"), "waba_ban_state")
    yield build_event("account", {"ban_state": ban.lower()}, state=state.lower() or "updated")


_FIELDS: Final[dict[str, Callable[[Object], Iterator[ChannelEvent]]]] = {
    "messages": _normalise_messages,
    "calls": _normalise_calls,
    "smb_message_echoes": _normalise_echoes,
    "message_echoes": _normalise_echoes,
    "user_id_update": _normalise_user_ids,
    "user_preferences": _normalise_preferences,
    "group_participants_update": _normalise_groups,
    "group_lifecycle_update": _normalise_groups,
    "group_settings_update": _normalise_groups,
    "group_status_update": _normalise_groups,
    "message_template_status_update": _normalise_template,
    "message_template_quality_update": _normalise_template,
    "message_template_components_update": _normalise_template,
    "template_category_update": _normalise_template,
    "account_update": _normalise_account,
    "account_alerts": _normalise_account,
    "account_review_update": _normalise_account,
    "phone_number_quality_update": _normalise_account,
    "phone_number_name_update": _normalise_account,
}
