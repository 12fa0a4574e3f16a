"""Attachments of Messenger and Instagram messages."""

from typing import Final

from backend.services.chat.domain.channels.events import (
    MEDIA_TYPES,
    build_location,
    build_media,
    build_text,
    build_unsupported,
)
from backend.services.chat.domain.channels.fields import (
    Json,
    Object,
    drop_empty,
    get_id,
    get_number,
    get_object,
    get_text,
)

# Content of Instagram and Facebook that a user shares: the URL is of a page or of a preview.
_LINKS: Final = ("fallback", "share", "story_mention", "reel", "ig_reel", "post", "ig_post")
_MEDIA: Final = (*MEDIA_TYPES, "file")


def build_attachments_content(attachments: list[Object], text: str) -> dict[str, Json]:
    """Return the content of a message with *attachments*, of which there is at least one."""
    first = attachments[0]
    kind = get_text(first, "type")
    payload = get_object(first, "payload")
    if get_id(payload, "sticker_id"):
        return build_media(
            "sticker", [_build_attachment(first)], text, sticker_id=get_id(payload, "sticker_id")
        )
    if kind in _MEDIA:
        return _build_media(attachments, text)
    if kind == "location":
        coordinates = get_object(payload, "coordinates")
        return build_location(
            get_number(coordinates, "lat"),
            get_number(coordinates, "long"),
            get_text(first, "title"),
        )
    if kind in _LINKS:
        return _build_link(first, payload, text)
    return build_text(text) if text else build_unsupported(kind or "attachment")


def _build_media(attachments: list[Object], text: str) -> dict[str, Json]:
    media = [item for item in attachments if get_text(item, "type") in _MEDIA]
    kinds = {get_text(item, "type") for item in media}
    media_type = kinds.pop() if len(kinds) == 1 else "file"
    return build_media(media_type, [_build_attachment(item) for item in media], text)


def _build_attachment(attachment: Object) -> dict[str, Json]:
    payload = get_object(attachment, "payload")
    return drop_empty(
        media_id=get_id(payload, "attachment_id"),
        name=get_text(attachment, "title") or get_text(payload, "title"),
        url=get_text(payload, "url"),
    )


def _build_link(attachment: Object, payload: Object, text: str) -> dict[str, Json]:
    url = get_text(attachment, "url", "URL") or get_text(payload, "url")
    if text:  # the text of the message has the link already; the attachment is its preview
        return build_text(text)
    return {
        "type": "link",
        **drop_empty(title=get_text(attachment, "title") or get_text(payload, "title"), url=url),
    }
