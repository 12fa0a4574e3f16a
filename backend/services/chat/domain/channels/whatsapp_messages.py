"""Messages of the WhatsApp Cloud API, and their reactions, edits and revocations."""

import re
from typing import Final, Literal

from backend.services.chat.domain.channels.events import (
    ChannelEvent,
    build_event,
    build_message,
    ignore,
)
from backend.services.chat.domain.channels.fields import (
    Json,
    Object,
    drop_empty,
    from_unix,
    get_id,
    get_number,
    get_object,
    get_objects,
    get_text,
    is_true,
)
from backend.services.chat.domain.channels.whatsapp_content import build_content

_NUMBER_CHANGES: Final = ("user_changed_number", "customer_changed_number")
# The old id is in a member only where Meta has it; the text for people always names it.
_CHANGED_USER_ID = re.compile(r" changed from ([A-Z]{2}\.\w{1,128}) to ")


def normalise_message(message: Object, value: Object) -> ChannelEvent:
    """Return the event of *message*, an item of `messages` in *value*."""
    kind = get_text(message, "type")
    sender = _build_sender(message, value)
    at = from_unix(get_number(message, "timestamp"))
    if kind == "system":
        return _normalise_system(message, at)
    if kind == "reaction":
        return _normalise_reaction(message, sender, at)
    if kind == "request_welcome":
        return ignore("request_welcome")
    if kind in {"edit", "revoke"}:
        key = _get_conversation_key(message, sender)
        return _normalise_change_of_message(kind, message, sender, key, at)
    if _get_call_permission(message):
        return _normalise_call_permission(message, sender)
    return _build_message(message, value, sender, at)


def normalise_echo(echo: Object, value: Object) -> ChannelEvent:
    """Normalise what a colleague wrote, changed or reacted to in the WhatsApp Business app."""
    recipient = _build_user(get_id(echo, "to"), get_id(echo, "to_user_id"), value)
    at = from_unix(get_number(echo, "timestamp"))
    kind = get_text(echo, "type")
    if kind == "reaction":
        return _normalise_reaction(echo, {}, at)
    if kind in {"edit", "revoke"}:
        key = _get_conversation_key(echo, recipient)
        return _normalise_change_of_message(kind, echo, {}, key, at)
    return _build_message(echo, value, recipient, at, "outbound")


def _build_message(
    message: Object,
    value: Object,
    user: dict[str, Json],
    at: str | None,
    direction: Literal["inbound", "outbound"] = "inbound",
) -> ChannelEvent:
    """Return the event of a message of *user*, or of a colleague to *user*."""
    context = get_object(message, "context")
    group = get_id(message, "group_id")
    content = build_content(message)
    return build_message(
        content,
        {
            **get_context(value),
            "group": bool(group),
            "mentioned": _is_mentioned(content, context, value),
            "recipient": user if direction == "outbound" else None,
        },
        direction=direction,
        external_id=get_id(message, "id"),
        sender=user if direction == "inbound" else None,
        conversation_key=_get_conversation_key(message, user),
        at=at,
        source="native_app" if direction == "outbound" else None,
        reply_to=get_id(context, "id"),
        flags=[name for name in ("forwarded", "frequently_forwarded") if is_true(context, name)],
        referral=_build_referral(message),
        group=True if group else None,
    )


def _is_mentioned(content: Object, context: Object, value: Object) -> bool:
    """Return whether a message of a group is for us: it names our number or replies to us."""
    own = get_id(get_object(value, "metadata"), "display_phone_number")
    return bool(own) and (f"@{own}" in get_text(content, "text") or get_id(context, "from") == own)


def get_context(value: Object) -> dict[str, Json]:
    return {"receiver": get_id(get_object(value, "metadata"), "phone_number_id")}


def _build_sender(message: Object, value: Object) -> dict[str, Json]:
    return _build_user(get_id(message, "from"), get_id(message, "from_user_id"), value)


def _build_user(number: str, user_id: str, value: Object) -> dict[str, Json]:
    """Return a user: the BSUID is the id if there is one, else the phone number."""
    contact = _find_contact(get_objects(value, "contacts"), number, user_id)
    bsuid = user_id or get_id(contact, "user_id")
    wa_id = number or get_id(contact, "wa_id")
    profile = get_object(contact, "profile")
    if not (bsuid or wa_id):
        return {}
    return {
        "id": bsuid or wa_id,
        "ids": drop_empty(bsuid=bsuid, wa_id=wa_id),
        **drop_empty(
            name=get_text(profile, "name"),
            username=get_text(profile, "username") or get_text(contact, "username"),
        ),
    }


def _find_contact(contacts: list[Object], number: str, bsuid: str) -> Object:
    for contact in contacts:
        if bsuid and get_id(contact, "user_id") == bsuid:
            return contact
        if number and get_id(contact, "wa_id") == number:
            return contact
    # A single contact is the sender, also where its number is written in another way.
    return contacts[0] if len(contacts) == 1 else {}


def _get_conversation_key(message: Object, sender: Object) -> str:
    group = get_id(message, "group_id")
    if group:
        return f"group:{group}"
    user = get_id(sender, "id")
    return f"user:{user}" if user else ""


def _build_referral(message: Object) -> dict[str, Json]:
    """Return the ad or post, or the product of the catalog, that led to *message*."""
    product = get_id(get_object(message, "context", "referred_product"), "product_retailer_id")
    if product:
        return {"source": "product", "id": product}
    referral = get_object(message, "referral")
    return drop_empty(source=get_text(referral, "source_type"), id=get_id(referral, "source_id"))


def _normalise_system(message: Object, at: str | None) -> ChannelEvent:
    system = get_object(message, "system")
    kind = get_text(system, "type")
    if kind == "user_changed_user_id":
        return _normalise_new_user_id(message, system, at)
    new_id = get_id(system, "wa_id", "new_wa_id", "user_id")
    if new_id and (kind in _NUMBER_CHANGES or get_id(system, "new_wa_id")):
        old_id = get_id(message, "from") or get_id(system, "customer")
        return build_event("identity", old_id=old_id, new_id=new_id, at=at)
    return ignore(f"system:{kind}")


def _normalise_new_user_id(message: Object, system: Object, at: str | None) -> ChannelEvent:
    text = _CHANGED_USER_ID.search(get_text(system, "body"))
    old_id = get_id(system, "previous_user_id") or (text[1] if text else get_id(message, "from"))
    new_id = get_id(system, "user_id")
    if not old_id or not new_id:
        return ignore("system:user_changed_user_id")
    return build_event("identity", old_id=old_id, new_id=new_id, at=at)


def _normalise_reaction(message: Object, sender: dict[str, Json], at: str | None) -> ChannelEvent:
    reaction = get_object(message, "reaction")
    emoji = get_text(reaction, "emoji")
    return build_event(
        "reaction",
        sender=sender,
        target=get_id(reaction, "message_id"),
        action="add" if emoji else "remove",
        emoji=emoji,
        at=at,
    )


def _normalise_change_of_message(
    kind: str, message: Object, sender: dict[str, Json], key: str, at: str | None
) -> ChannelEvent:
    change = get_object(message, kind)
    target = get_id(change, "original_message_id", "message_id")
    if kind == "revoke":
        return build_event("delete", target=target, sender=sender, conversation_key=key, at=at)
    edited = get_object(change, "message")
    return build_event(
        "edit",
        target=target,
        sender=sender,
        conversation_key=key,
        content=build_content(edited),
        at=at,
    )


def _get_call_permission(message: Object) -> Object:
    return get_object(message, "interactive", "call_permission_reply")


def _normalise_call_permission(message: Object, sender: dict[str, Json]) -> ChannelEvent:
    return build_event(
        "preference",
        sender=sender,
        category="calls",
        value=get_text(_get_call_permission(message), "response"),
    )
