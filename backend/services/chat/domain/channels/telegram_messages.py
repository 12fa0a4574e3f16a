"""Messages of Telegram: sender, chat, topic, and what a message reports of its chat."""

from typing import Final

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
from backend.services.chat.domain.channels.telegram_content import (
    build_content,
    is_mentioned,
    is_own_bot,
)
from backend.services.chat.model import TELEGRAM_DIRECT_TOPIC

_GROUP_TYPES: Final = ("group", "supergroup")


def normalise_message(message: Object, account: Object) -> list[ChannelEvent]:
    joins = _normalise_members(message, account)
    if joins:
        return joins
    moved_to = get_id(message, "migrate_to_chat_id")
    if moved_to:
        old_id = get_id(get_object(message, "chat"), "id")
        return [build_event("identity", old_id=old_id, new_id=moved_to)]
    content = build_content(message)
    if content is None:
        return [ignore("service_message")]
    if _is_of_bot(message):
        return [ignore("bot_message")]
    return [_build_message(message, account, content)]


def normalise_edit(message: Object, account: Object) -> list[ChannelEvent]:
    content = build_content(message)
    if content is None:
        return [ignore("service_message")]
    if _is_of_bot(message):
        return [ignore("bot_message")]
    return [
        build_event(
            "edit",
            {"group": is_group_chat(message), "mentioned": is_mentioned(message, account)},
            target=get_id(message, "message_id"),
            sender=None if _is_of_owner(message) else _build_sender(message),
            conversation_key=get_key(message),
            content=content,
            at=from_unix(get_number(message, "edit_date")),
        )
    ]


def normalise_business_message(message: Object, account: Object) -> list[ChannelEvent]:
    """Normalise a message in a chat of a business account; its owner's are a colleague's."""
    content = build_content(message)
    if content is None or not _is_of_owner(message):
        return normalise_message(message, account)
    if _is_of_bot(message):
        return [ignore("bot_message")]
    return [
        build_message(
            content,
            get_chat_context(message),
            direction="outbound",
            external_id=get_id(message, "message_id"),
            conversation_key=get_key(message),
            at=from_unix(get_number(message, "date")),
            source="native_app",
            reply_to=_get_reply(message),
        )
    ]


def _build_message(message: Object, account: Object, content: dict[str, Json]) -> ChannelEvent:
    is_group = is_group_chat(message)
    return build_message(
        content,
        {
            "group": is_group,
            "mentioned": is_mentioned(message, account),
            "album": get_id(message, "media_group_id"),
            **get_chat_context(message),
        },
        external_id=get_id(message, "message_id"),
        sender=_build_sender(message),
        conversation_key=get_key(message),
        at=from_unix(get_number(message, "date")),
        reply_to=_get_reply(message),
        flags=["forwarded"] if "forward_origin" in message or "forward_date" in message else None,
        group=True if is_group else None,
    )


def _is_of_owner(message: Object) -> bool:
    """Return whether the owner of a business account has written in one of its private chats."""
    sender = get_id(get_object(message, "from"), "id")
    is_business = bool(get_id(message, "business_connection_id"))
    return is_business and sender != get_id(get_object(message, "chat"), "id")


def _is_of_bot(message: Object) -> bool:
    if get_object(message, "sender_business_bot"):
        return True
    # Anonymous administrators and linked channels write through a bot, but for a chat.
    return is_true(get_object(message, "from"), "is_bot") and not get_object(message, "sender_chat")


def _normalise_members(message: Object, account: Object) -> list[ChannelEvent]:
    left = get_object(message, "left_chat_member")
    members = [("join", member) for member in get_objects(message, "new_chat_members")]
    if left:
        members.append(("leave", left))
    return [
        build_event(
            "participants",
            {"own": is_own_bot(member, account)},
            conversation_key=get_key(message),
            sender=build_person(member),
            action=action,
        )
        for action, member in members
    ]


def _build_sender(message: Object) -> dict[str, Json]:
    # A message for a chat also has a user, which is not its sender.
    return build_person(get_object(message, "sender_chat") or get_object(message, "from"))


def build_person(person: Object) -> dict[str, Json]:
    names = (get_text(person, "first_name"), get_text(person, "last_name"))
    name = " ".join(part for part in names if part) or get_text(person, "title")
    identifier = get_id(person, "id")
    if not identifier:
        return {}
    return {"id": identifier, **drop_empty(name=name, username=get_text(person, "username"))}


def get_chat_context(message: Object) -> dict[str, Json]:
    return {
        "chat_id": get_id(get_object(message, "chat"), "id"),
        "topic": _get_topic(message),
        "business_connection_id": get_id(message, "business_connection_id"),
    }


def get_key(message: Object) -> str:
    chat = get_id(get_object(message, "chat"), "id")
    topic = _get_topic(message)
    connection = get_id(message, "business_connection_id")
    parts = [f"business:{connection}"] if connection else []
    parts.append(f"chat:{chat}")
    return ":".join([*parts, topic] if topic else parts)


def _get_topic(message: Object) -> str:
    direct = get_id(get_object(message, "direct_messages_topic"), "topic_id")
    if direct:
        return f"{TELEGRAM_DIRECT_TOPIC}{direct}"
    return get_id(message, "message_thread_id") if is_true(message, "is_topic_message") else ""


def _get_reply(message: Object) -> str:
    replied = get_id(get_object(message, "reply_to_message"), "message_id")
    # Each message of a topic formally replies to the one that opened the topic.
    return "" if replied and replied == _get_topic(message) else replied


def is_group_chat(message: Object) -> bool:
    chat = get_object(message, "chat")
    # In the direct messages of a channel, each user has a topic that only the channel reads.
    return get_text(chat, "type") in _GROUP_TYPES and not is_true(chat, "is_direct_messages")
