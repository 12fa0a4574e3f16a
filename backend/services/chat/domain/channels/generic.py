"""Webhooks of a custom channel, in the event shape of Standard Webhooks.

    {"type": "message", "timestamp": "2026-01-31T12:00:00Z",
     "data": {"id": "m-1", "user_id": "u-1", "name": "Ann", "conversation_id": "c-1",
              "content": {"type": "text", "text": "Hello"}, "reply_to": "m-0"}}

`type` is message, edit, delete, reaction, status or typing. `text` may replace `content`, and a
body without `data` is a message itself.
"""

from collections.abc import Callable
from typing import Final

from backend.services.chat.domain.channels.events import (
    ChannelEvent,
    build_choice,
    build_event,
    build_location,
    build_media,
    build_message,
    build_text,
    build_unsupported,
    ignore,
)
from backend.services.chat.domain.channels.fields import (
    Json,
    Object,
    drop_empty,
    from_iso,
    from_unix,
    get_id,
    get_number,
    get_object,
    get_objects,
    get_size,
    get_text,
    is_true,
)

_STATUSES: Final = ("sent", "delivered", "read", "failed")
_MEDIA: Final = ("image", "audio", "video", "file", "sticker")


def normalise(payload: Object, _account: Object) -> list[ChannelEvent]:
    """Return the event of a webhook, of which there is always one."""
    data = get_object(payload, "data")
    kind = get_text(payload, "type") if data else "message"
    handler = _TYPES.get(kind)
    if handler is None:
        return [ignore(f"unhandled:{kind}")]
    values = data or payload
    return [handler(values, _get_time(values) or _get_time(payload))]


def _get_time(values: Object) -> str | None:
    text = get_text(values, "timestamp", "at")
    return from_iso(text) if text else from_unix(get_number(values, "timestamp"))


def _build_sender(data: Object) -> dict[str, Json]:
    return drop_empty(id=get_id(data, "user_id"), name=get_text(data, "name"))


def _get_key(data: Object) -> str:
    conversation = get_id(data, "conversation_id")
    if conversation:
        return f"conversation:{conversation}"
    user = get_id(data, "user_id")
    return f"user:{user}" if user else ""


def _normalise_message(data: Object, at: str | None) -> ChannelEvent:
    if not get_id(data, "user_id"):
        return ignore("no_user_id")
    is_group = is_true(data, "group")
    return build_message(
        _build_content(data),
        {"group": is_group, "mentioned": is_true(data, "mentioned")},
        external_id=get_id(data, "id"),
        sender=_build_sender(data),
        conversation_key=_get_key(data),
        at=at,
        reply_to=get_id(data, "reply_to"),
        group=True if is_group else None,
    )


def _build_content(data: Object) -> dict[str, Json]:
    content = get_object(data, "content")
    kind = get_text(content, "type")
    text = get_text(content, "text")
    if not content:
        return build_text(get_text(data, "text", "content"))
    if kind == "text":
        return build_text(text)
    if kind in _MEDIA:
        attachments = [_build_attachment(item) for item in get_objects(content, "attachments")]
        return build_media(kind, attachments, text)
    if kind == "choice":
        choice = get_object(content, "choice")
        return build_choice(get_id(choice, "id"), get_text(choice, "title"))
    if kind == "location":
        return build_location(
            get_number(content, "latitude"),
            get_number(content, "longitude"),
            get_text(content, "name"),
        )
    if kind == "form":
        values = dict(get_object(content, "values"))
        return {"type": "form", **drop_empty(form=get_text(content, "form")), "values": values}
    if kind == "link" and get_text(content, "url"):
        names = ("text", "title", "url")
        return {"type": "link", **drop_empty(**{name: get_text(content, name) for name in names})}
    if kind == "command" and get_text(content, "command"):
        return {"type": "command", "command": get_text(content, "command"), "text": text}
    return {**build_unsupported(kind or "unknown"), **drop_empty(text=text)}


def _build_attachment(attachment: Object) -> dict[str, Json]:
    return drop_empty(
        url=get_text(attachment, "url"),
        mime=get_text(attachment, "mime"),
        name=get_text(attachment, "name"),
        sha256=get_text(attachment, "sha256"),
        size=get_size(attachment, "size"),
    )


def _normalise_edit(data: Object, at: str | None) -> ChannelEvent:
    return build_event(
        "edit",
        target=get_id(data, "id"),
        sender=_build_sender(data),
        conversation_key=_get_key(data),
        content=_build_content(data),
        at=at,
    )


def _normalise_deletion(data: Object, at: str | None) -> ChannelEvent:
    return build_event(
        "delete",
        target=get_id(data, "id"),
        sender=_build_sender(data),
        conversation_key=_get_key(data),
        at=at,
    )


def _normalise_reaction(data: Object, at: str | None) -> ChannelEvent:
    return build_event(
        "reaction",
        sender=_build_sender(data),
        target=get_id(data, "id"),
        action="remove" if get_text(data, "action") == "remove" else "add",
        emoji=get_text(data, "emoji"),
        at=at,
    )


def _normalise_status(data: Object, at: str | None) -> ChannelEvent:
    status = get_text(data, "status")
    if status not in _STATUSES:
        return ignore(f"status:{status}")
    error = get_object(data, "error")
    return build_event(
        "status",
        target=get_id(data, "id"),
        status=status,
        at=at,
        error=drop_empty(code=get_id(error, "code"), title=get_text(error, "title")),
    )


def _normalise_typing(data: Object, at: str | None) -> ChannelEvent:
    return build_event("typing", sender=_build_sender(data), conversation_key=_get_key(data), at=at)


_TYPES: Final[dict[str, Callable[[Object, str | None], ChannelEvent]]] = {
    "message": _normalise_message,
    "edit": _normalise_edit,
    "delete": _normalise_deletion,
    "reaction": _normalise_reaction,
    "status": _normalise_status,
    "typing": _normalise_typing,
}
