"""Activities of Microsoft Teams (Bot Framework), as in its activity schema."""

from collections.abc import Callable
from typing import Final

from backend.services.chat.domain.channels.events import (
    ChannelEvent,
    build_event,
    build_message,
    ignore,
    mark_occurrence,
)
from backend.services.chat.domain.channels.fields import (
    Json,
    Object,
    drop_empty,
    from_iso,
    get_id,
    get_object,
    get_objects,
    get_text,
    is_true,
)
from backend.services.chat.domain.channels.teams_content import (
    build_content,
    build_invoke_content,
    get_quoted_message,
    is_mentioned,
)

_GROUP_TYPES: Final = ("channel", "groupChat")
_READ_RECEIPT: Final = "application/vnd.microsoft.readReceipt"


def normalise(payload: Object, account: Object) -> list[ChannelEvent]:
    """Return the events of an activity."""
    tenant = get_id(get_object(payload, "channelData", "tenant"), "id") or get_id(
        get_object(payload, "conversation"), "tenantId"
    )
    own = get_id(account, "tenant_id")
    if own and tenant and own != tenant:
        return [ignore("other_account")]
    kind = get_text(payload, "type")
    handler = _ACTIVITIES.get(kind)
    if handler is None:
        return [ignore(f"activity:{kind}")]
    return mark_occurrence(handler(payload), get_id(payload, "id"))


def _build_sender(activity: Object, source: Object | None = None) -> dict[str, Json]:
    sender = get_object(activity, "from") if source is None else source
    teams_id = get_id(sender, "id")
    aad = get_id(sender, "aadObjectId", "objectId")
    if not (teams_id or aad):
        return {}
    return {
        "id": aad or teams_id,
        "ids": drop_empty(teams=teams_id, aad=aad),
        **drop_empty(name=get_text(sender, "name")),
    }


def _get_key(activity: Object) -> str:
    conversation = get_id(get_object(activity, "conversation"), "id")
    return f"conversation:{conversation}" if conversation else ""


def _get_time(activity: Object) -> str | None:
    return from_iso(get_text(activity, "timestamp"))


def _is_group(activity: Object) -> bool:
    conversation = get_object(activity, "conversation")
    return is_true(conversation, "isGroup") or (
        get_text(conversation, "conversationType") in _GROUP_TYPES
    )


def _build_context(activity: Object) -> dict[str, Json]:
    """Return what is needed to answer: the conversation's service URL and the two sides."""
    return {
        "receiver": get_id(get_object(activity, "recipient"), "id"),
        "group": _is_group(activity),
        "mentioned": is_mentioned(activity),
        "service_url": get_text(activity, "serviceUrl"),
        "teams_id": get_id(get_object(activity, "from"), "id"),
        "locale": get_text(activity, "locale"),
    }


def _is_of_bot(activity: Object) -> bool:
    sender = get_object(activity, "from")
    return get_text(sender, "role") == "bot" or get_id(sender, "id").startswith("28:")


def _normalise_message(activity: Object) -> list[ChannelEvent]:
    if _is_of_bot(activity):
        return [ignore("bot_message")]
    return [_build_message(activity, build_content(activity))]


def _build_message(activity: Object, content: dict[str, Json]) -> ChannelEvent:
    return build_message(
        content,
        _build_context(activity),
        external_id=get_id(activity, "id"),
        sender=_build_sender(activity),
        conversation_key=_get_key(activity),
        at=_get_time(activity),
        reply_to=get_id(activity, "replyToId") or get_quoted_message(activity),
        group=True if _is_group(activity) else None,
    )


def _normalise_update(activity: Object) -> list[ChannelEvent]:
    if _is_of_bot(activity):
        return [ignore("bot_message")]
    kind = get_text(get_object(activity, "channelData"), "eventType")
    if kind == "undeleteMessage":
        return [
            build_event(
                "undelete",
                target=get_id(activity, "id"),
                conversation_key=_get_key(activity),
                content=build_content(activity),
                at=_get_time(activity),
            )
        ]
    return [
        build_event(
            "edit",
            target=get_id(activity, "id"),
            conversation_key=_get_key(activity),
            sender=_build_sender(activity),
            content=build_content(activity),
            at=_get_time(activity),
        )
    ]


def _normalise_deletion(activity: Object) -> list[ChannelEvent]:
    return [
        build_event(
            "delete",
            target=get_id(activity, "id"),
            conversation_key=_get_key(activity),
            at=_get_time(activity),
        )
    ]


def _normalise_reactions(activity: Object) -> list[ChannelEvent]:
    if _is_of_bot(activity):
        return [ignore("bot_message")]
    events = [
        build_event(
            "reaction",
            {"conversation_key": _get_key(activity)},
            sender=_build_sender(activity),
            target=get_id(activity, "replyToId"),
            action=action,
            emoji=get_text(reaction, "type"),
            at=_get_time(activity),
        )
        for name, action in (("reactionsAdded", "add"), ("reactionsRemoved", "remove"))
        for reaction in get_objects(activity, name)
    ]
    return events or [ignore("activity:messageReaction")]


def _normalise_conversation(activity: Object) -> list[ChannelEvent]:
    own = get_id(get_object(activity, "recipient"), "id")
    events = [
        build_event(
            "participants",
            {**_build_context(activity), "own": get_id(member, "id") == own != ""},
            conversation_key=_get_key(activity),
            sender=_build_sender(activity, member),
            action=action,
        )
        for name, action in (("membersAdded", "join"), ("membersRemoved", "leave"))
        for member in get_objects(activity, name)
    ]
    kind = get_text(get_object(activity, "channelData"), "eventType") or "unknown"
    return events or [ignore(f"conversationUpdate:{kind}")]


def _normalise_installation(activity: Object) -> list[ChannelEvent]:
    is_added = get_text(activity, "action").startswith("add")
    state = "installed" if is_added else "uninstalled"
    return [build_event("account", _build_context(activity), state=state)]


def _normalise_invoke(activity: Object) -> list[ChannelEvent]:
    content = build_invoke_content(activity)
    if content is None:
        return [ignore(f"invoke:{get_text(activity, 'name')}")]
    return [_build_message(activity, content)]


def _normalise_event(activity: Object) -> list[ChannelEvent]:
    name = get_text(activity, "name")
    last_read = get_id(get_object(activity, "value"), "lastReadMessageId")
    if name == _READ_RECEIPT and last_read:
        return [
            build_event(
                "status",
                status="read",
                target=last_read,
                at=_get_time(activity),
                recipient=get_id(_build_sender(activity), "id"),
            )
        ]
    return [ignore(f"event:{name}")]


def _normalise_typing(activity: Object) -> list[ChannelEvent]:
    return [
        build_event(
            "typing",
            conversation_key=_get_key(activity),
            sender=_build_sender(activity),
            at=_get_time(activity),
        )
    ]


_ACTIVITIES: Final[dict[str, Callable[[Object], list[ChannelEvent]]]] = {
    "message": _normalise_message,
    "messageUpdate": _normalise_update,
    "messageDelete": _normalise_deletion,
    "messageReaction": _normalise_reactions,
    "conversationUpdate": _normalise_conversation,
    "installationUpdate": _normalise_installation,
    "invoke": _normalise_invoke,
    "event": _normalise_event,
    "typing": _normalise_typing,
}
