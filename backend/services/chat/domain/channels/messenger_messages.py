"""Messages of Messenger and Instagram, with postbacks, edits and reactions."""

from backend.services.chat.domain.channels.events import (
    ChannelEvent,
    build_choice,
    build_event,
    build_message,
    build_text,
    build_unsupported,
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
    is_true,
)
from backend.services.chat.domain.channels.messenger_content import build_attachments_content


def normalise_message(item: Object) -> ChannelEvent:
    message = get_object(item, "message")
    if is_true(message, "is_deleted"):
        return build_event(
            "delete",
            target=get_id(message, "mid"),
            sender=get_sender(item),
            conversation_key=get_key(item),
            at=get_time(item),
        )
    if is_true(message, "is_echo"):
        return _normalise_echo(item, message)
    story = get_id(get_object(message, "reply_to", "story"), "id")
    return build_message(
        _build_content(message),
        {**_get_context(item), "story": story},
        external_id=get_id(message, "mid"),
        sender=get_sender(item),
        conversation_key=get_key(item),
        at=get_time(item),
        reply_to=get_id(get_object(message, "reply_to"), "mid"),
        referral=build_referral(get_object(message, "referral")),
    )


def _normalise_echo(item: Object, message: Object) -> ChannelEvent:
    """Normalise a message of the page: of an app if it has an `app_id`, else of a colleague."""
    app = get_id(message, "app_id")
    return build_message(
        _build_content(message),
        direction="outbound",
        external_id=get_id(message, "mid"),
        conversation_key=get_key(item, "recipient"),
        at=get_time(item),
        source=f"app:{app}" if app else "native_app",
        reply_to=get_id(get_object(message, "reply_to"), "mid"),
        delivery_ref=get_text(message, "metadata"),
    )


def _build_content(message: Object) -> dict[str, Json]:
    text = get_text(message, "text")
    if is_true(message, "is_unsupported"):
        return build_unsupported()
    quick_reply = get_object(message, "quick_reply")
    if quick_reply:
        return build_choice(get_text(quick_reply, "payload") or text, text)
    attachments = get_objects(message, "attachments")
    if attachments:
        return build_attachments_content(attachments, text)
    return build_text(text)


def normalise_postback(item: Object) -> ChannelEvent:
    postback = get_object(item, "postback")
    return build_message(
        build_choice(get_text(postback, "payload", "title"), get_text(postback, "title")),
        _get_context(item),
        external_id=get_id(postback, "mid"),
        sender=get_sender(item),
        conversation_key=get_key(item),
        at=get_time(item),
        referral=build_referral(get_object(postback, "referral")),
    )


def normalise_edit(item: Object) -> ChannelEvent:
    edit = get_object(item, "message_edit")
    return build_event(
        "edit",
        target=get_id(edit, "mid"),
        sender=get_sender(item),
        conversation_key=get_key(item),
        content=build_text(get_text(edit, "text")),
        at=get_time(item),
    )


def normalise_reaction(item: Object) -> ChannelEvent:
    reaction = get_object(item, "reaction")
    return build_event(
        "reaction",
        sender=get_sender(item),
        target=get_id(reaction, "mid"),
        action="remove" if get_text(reaction, "action") == "unreact" else "add",
        emoji=get_text(reaction, "emoji", "reaction"),
        at=get_time(item),
    )


def get_sender(item: Object) -> dict[str, Json]:
    sender = get_object(item, "sender")
    identifier = get_id(sender, "id") or get_id(sender, "user_ref")
    return {"id": identifier} if identifier else {}


def get_key(item: Object, side: str = "sender") -> str:
    user = get_id(get_object(item, side), "id", "user_ref")
    return f"user:{user}" if user else ""


def get_time(item: Object) -> str | None:
    return from_milliseconds(get_number(item, "timestamp"))


def _get_context(item: Object) -> dict[str, Json]:
    return {"receiver": get_id(get_object(item, "recipient"), "id")}


def build_referral(referral: Object) -> dict[str, Json]:
    return drop_empty(
        source=get_text(referral, "source"),
        id=get_id(referral, "ref", "ad_id") or get_id(get_object(referral, "product"), "id"),
    )
