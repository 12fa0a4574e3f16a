"""Webhooks of Messenger and Instagram messaging, as in Meta's webhook reference."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from backend.services.chat.domain.channels.events import (
    ChannelEvent,
    build_event,
    ignore,
    mark_occurrence,
)
from backend.services.chat.domain.channels.fields import (
    Json,
    Object,
    drop_empty,
    from_milliseconds,
    get_id,
    get_number,
    get_object,
    get_objects,
    get_text,
)
from backend.services.chat.domain.channels.messenger_messages import (
    build_referral,
    get_key,
    get_sender,
    get_time,
    normalise_edit,
    normalise_message,
    normalise_postback,
    normalise_reaction,
)

# Prefixes of the fields to which an Instagram account subscribes for its messages.
_MESSAGE_FIELDS: Final = ("message", "messaging_")
_MARKETING_CHOICES: Final = {"STOP_NOTIFICATIONS": "stop", "RESUME_NOTIFICATIONS": "resume"}
_HANDOVERS: Final = {
    "request_thread_control": "request",
    "pass_thread_control": "pass",
    "take_thread_control": "take",
}


def normalise(payload: Object, account: Object) -> list[ChannelEvent]:
    """Return the events of a webhook of the object `page` or `instagram`."""
    events: list[ChannelEvent] = []
    own = get_id(account, "page_id")
    for entry in get_objects(payload, "entry"):
        if own and get_id(entry, "id") not in {"", own}:
            events.append(ignore("other_account"))
            continue
        # Instagram accounts may receive the messaging object as a change of the same shape.
        for change in get_objects(entry, "changes"):
            events += _normalise_change(change, get_id(entry, "id"))
        for item in get_objects(entry, "messaging"):
            events += _normalise_item(item, get_id(entry, "id"))
        events += [ignore("standby") for _ in get_objects(entry, "standby")]
    return events or [ignore("empty")]


def _normalise_change(change: Object, page: str) -> Iterator[ChannelEvent]:
    field = get_text(change, "field")
    value = get_object(change, "value")
    if field.startswith(_MESSAGE_FIELDS) and get_object(value, "sender"):
        yield from _normalise_item(value, page)
    else:
        yield ignore(f"field:{field}")


def _normalise_item(item: Object, page: str) -> Iterator[ChannelEvent]:
    for name, handler in _HANDLERS.items():
        if isinstance(item.get(name), dict):
            event = handler(item)
            is_own = get_id(get_object(item, "sender"), "id") == page != ""
            yield from mark_occurrence(
                [_assign_to_user(event, item) if is_own else event], get_id(item, "timestamp")
            )
            return
    for name, action in _HANDOVERS.items():
        if isinstance(item.get(name), dict):
            owner = get_id(get_object(item, name), "new_owner_app_id")
            yield build_event(
                "handover",
                {"new_owner": owner},
                action=action,
                conversation_key=get_key(item),
                at=get_time(item),
            )
            return
    known = {"sender", "recipient", "timestamp"}
    names = [name for name in item if name not in known]
    yield ignore(f"unhandled:{names[0] if names else 'empty'}")


def _assign_to_user(event: ChannelEvent, item: Object) -> ChannelEvent:
    """Return a change by the page, which has no sender, in the conversation of its receiver."""
    if event.kind not in {"edit", "delete", "reaction"}:
        return event
    fields = {name: value for name, value in event.fields.items() if name != "sender"}
    if "conversation_key" in fields:
        fields["conversation_key"] = get_key(item, "recipient")
    return replace(event, fields=fields)


def _normalise_delivery(item: Object) -> ChannelEvent:
    delivery = get_object(item, "delivery")
    mids = delivery.get("mids")
    targets: list[Json] = (
        [mid for mid in mids if isinstance(mid, str)] if isinstance(mids, list) else []
    )
    return build_event(
        "status",
        status="delivered",
        targets=targets,
        watermark=from_milliseconds(get_number(delivery, "watermark")),
        recipient=get_id(get_object(item, "sender"), "id"),
    )


def _normalise_read(item: Object) -> ChannelEvent:
    """Normalise a read receipt: Instagram names the message, Messenger a point in time."""
    read = get_object(item, "read")
    return build_event(
        "status",
        status="read",
        target=get_id(read, "mid"),
        watermark=from_milliseconds(get_number(read, "watermark")),
        recipient=get_id(get_object(item, "sender"), "id"),
    )


def _normalise_optin(item: Object) -> ChannelEvent:
    optin = get_object(item, "optin")
    user_ref = get_id(optin, "user_ref")
    sender = get_sender(item) or ({"id": user_ref} if user_ref else None)
    choice = _MARKETING_CHOICES.get(get_text(optin, "notification_messages_status"))
    if choice is not None:
        return build_event("preference", sender=sender, category="marketing_messages", value=choice)
    return build_event(
        "optin",
        sender=sender,
        ref=get_text(optin, "ref", "payload"),
        at=get_time(item),
    )


def _normalise_referral(item: Object) -> ChannelEvent:
    """Normalise the opening of an existing conversation by a link, an ad or a plugin."""
    referral = get_object(item, "referral")
    return build_event(
        "optin",
        sender=get_sender(item),
        ref=get_text(referral, "ref"),
        referral=build_referral(referral),
        at=get_time(item),
    )


def _normalise_policy(item: Object) -> ChannelEvent:
    policy = get_object(item, "policy-enforcement") or get_object(item, "policy_enforcement")
    return build_event(
        "account",
        state=get_text(policy, "action"),
        error=drop_empty(title=get_text(policy, "reason")),
    )


_HANDLERS: Final[dict[str, Callable[[Object], ChannelEvent]]] = {
    "message": normalise_message,
    "postback": normalise_postback,
    "message_edit": normalise_edit,
    "reaction": normalise_reaction,
    "delivery": _normalise_delivery,
    "read": _normalise_read,
    "optin": _normalise_optin,
    "referral": _normalise_referral,
    "policy-enforcement": _normalise_policy,
    "policy_enforcement": _normalise_policy,
}
