"""Updates of the Telegram Bot API."""

from collections.abc import Callable
from typing import Final

from backend.services.chat.domain.channels.events import (
    ChannelEvent,
    build_choice,
    build_event,
    build_message,
    ignore,
    mark_occurrence,
)
from backend.services.chat.domain.channels.fields import (
    Json,
    Object,
    from_unix,
    get_id,
    get_number,
    get_object,
    get_objects,
    get_text,
    is_true,
)
from backend.services.chat.domain.channels.telegram_messages import (
    build_person,
    get_chat_context,
    get_key,
    is_group_chat,
    normalise_business_message,
    normalise_edit,
    normalise_message,
)

_ABSENT: Final = ("", "left", "kicked")


def normalise(payload: Object, account: Object) -> list[ChannelEvent]:
    """Return the events of an update, which has one member beside its `update_id`."""
    for name, handler in _UPDATES.items():
        update = payload.get(name)
        if isinstance(update, dict):
            return mark_occurrence(handler(update, account), get_id(payload, "update_id"))
    names = [name for name in payload if name != "update_id"]
    return [ignore(f"update:{names[0] if names else 'empty'}")]


def _normalise_business_deletion(update: Object, _account: Object) -> list[ChannelEvent]:
    targets = update.get("message_ids")
    identifiers = (
        [item for item in targets if isinstance(item, int)] if isinstance(targets, list) else []
    )
    return [
        build_event("delete", target=str(target), conversation_key=get_key(update))
        for target in identifiers
    ] or [ignore("update:deleted_business_messages")]


def _normalise_connection(update: Object, _account: Object) -> list[ChannelEvent]:
    state = "connected" if is_true(update, "is_enabled") else "disconnected"
    context: dict[str, Json] = {"business_connection_id": get_id(update, "id")}
    return [build_event("account", context, state=state)]


def _normalise_callback(query: Object, _account: Object) -> list[ChannelEvent]:
    """Normalise a pressed button of an inline keyboard."""
    message = get_object(query, "message")
    data = get_text(query, "data", "game_short_name")
    if not message:  # a button of a message that was sent by inline mode, in an unknown chat
        return [ignore("update:callback_query")]
    is_group = is_group_chat(message)
    context = {
        "group": is_group,
        "mentioned": True,
        "callback_query_id": get_id(query, "id"),
        **get_chat_context(message),
    }
    return [
        build_message(
            build_choice(data, _find_button(message, data)),
            context,
            external_id=get_id(query, "id"),
            sender=build_person(get_object(query, "from")),
            conversation_key=get_key(message),
            reply_to=get_id(message, "message_id"),
            group=True if is_group else None,
        )
    ]


def _find_button(message: Object, data: str) -> str:
    """Return the text of the button with *data* in the message's keyboard, or an empty text."""
    rows = get_object(message, "reply_markup").get("inline_keyboard")
    for row in rows if isinstance(rows, list) else []:
        for button in row if isinstance(row, list) else []:
            if isinstance(button, dict) and get_text(button, "callback_data") == data:
                return get_text(button, "text")
    return ""


def _normalise_reaction(update: Object, _account: Object) -> list[ChannelEvent]:
    before, after = (_get_emojis(update, name) for name in ("old_reaction", "new_reaction"))
    sender = build_person(get_object(update, "user") or get_object(update, "actor_chat"))
    changes = [("remove", emoji) for emoji in before if emoji not in after]
    changes += [("add", emoji) for emoji in after if emoji not in before]
    return [
        build_event(
            "reaction",
            {"conversation_key": get_key(update)},
            sender=sender,
            target=get_id(update, "message_id"),
            action=action,
            emoji=emoji,
            at=from_unix(get_number(update, "date")),
        )
        for action, emoji in changes
    ] or [ignore("update:message_reaction")]


def _get_emojis(update: Object, name: str) -> list[str]:
    kinds = (get_id(item, "emoji", "custom_emoji_id", "type") for item in get_objects(update, name))
    return [emoji for emoji in kinds if emoji]


def _normalise_own_membership(update: Object, _account: Object) -> list[ChannelEvent]:
    return _normalise_membership("my_chat_member", update)


def _normalise_other_membership(update: Object, _account: Object) -> list[ChannelEvent]:
    return _normalise_membership("chat_member", update)


def _normalise_membership(name: str, update: Object) -> list[ChannelEvent]:
    """Normalise a changed membership: of our bot in a private chat, it was blocked or started."""
    member = get_object(update, "new_chat_member")
    is_present = _is_present(member)
    if is_present == _is_present(get_object(update, "old_chat_member")):
        return [ignore(f"update:{name}")]  # other rights
    is_private = get_text(get_object(update, "chat"), "type") == "private"
    person = get_object(update, "from") if is_private else get_object(member, "user")
    return [
        build_event(
            "participants",
            {"own": name == "my_chat_member" and not is_private},
            conversation_key=get_key(update),
            sender=build_person(person),
            action="join" if is_present else "leave",
        )
    ]


def _is_present(member: Object) -> bool:
    status = get_text(member, "status")
    if status == "restricted":
        return is_true(member, "is_member")
    return status not in _ABSENT


_UPDATES: Final[dict[str, Callable[[Object, Object], list[ChannelEvent]]]] = {
    "message": normalise_message,
    "edited_message": normalise_edit,
    "business_message": normalise_business_message,
    "edited_business_message": normalise_edit,
    "deleted_business_messages": _normalise_business_deletion,
    "business_connection": _normalise_connection,
    "callback_query": _normalise_callback,
    "message_reaction": _normalise_reaction,
    "my_chat_member": _normalise_own_membership,
    "chat_member": _normalise_other_membership,
}
