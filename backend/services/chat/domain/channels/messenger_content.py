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
    get_objects,
    get_text,
)

# Content of Instagram and Facebook that a user shares: the URL is of a page or of a preview.
_LINKS: Final = (
    "fallback",
    "share",
    "story_mention",
    "reel",
    "ig_reel",
    "post",
    "ig_post",
    "ig_story",
)
_MEDIA: Final = (*MEDIA_TYPES, "file")


def build_attachments_content(attachments: list[Object], text: str) -> dict[str, Json]:
    """Return the content of a message with *attachments*, of which there is at least one."""
    sticker = next((item for item in attachments if _is_sticker(item)), None)
    if sticker is not None:  # until Meta sends it in one way only, also an image of it
        sticker_id = get_id(get_object(sticker, "payload"), "sticker_id")
        return build_media("sticker", [_build_attachment(sticker)], text, sticker_id=sticker_id)
    media = [item for item in attachments if get_text(item, "type") in _MEDIA]
    if media:
        return _build_media(media, text)
    first = attachments[0]
    kind = get_text(first, "type")
    payload = get_object(first, "payload")
    if kind == "location":
        coordinates = get_object(payload, "coordinates")
        location = build_location(
            get_number(coordinates, "lat"),
            get_number(coordinates, "long"),
            get_text(first, "title"),
        )
        return {**location, **drop_empty(text=text)}
    if kind in _LINKS:
        return _build_link(first, payload, text)
    if text:
        return build_text(text)
    return {
        **build_unsupported(kind or "attachment"),
        **drop_empty(text=_get_template_text(first, payload)),
    }


def _get_template_text(template: Object, payload: Object) -> str:
    """Return the text above the buttons of a template, or the titles of its elements."""
    text = get_text(payload, "text") or get_text(template, "title")
    elements = get_objects(payload, "elements") + get_objects(
        get_object(payload, "product"), "elements"
    )
    return text or "\n".join(title for item in elements if (title := get_text(item, "title")))


def _is_sticker(attachment: Object) -> bool:
    payload = get_object(attachment, "payload")
    return get_text(attachment, "type") == "sticker" or bool(get_id(payload, "sticker_id"))


def _build_media(media: list[Object], text: str) -> dict[str, Json]:
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
    kind = get_text(attachment, "type")
    url = get_text(attachment, "url", "URL") or get_text(payload, "url", "story_media_url")
    title = get_text(attachment, "title") or get_text(payload, "title")
    # The text of a message with a `fallback` has the link already: the attachment is its preview.
    if text and (kind == "fallback" or not url):
        return build_text(text)
    if not url and not title:
        return build_unsupported(kind)
    return {"type": "link", **drop_empty(text=text, title=title, url=url)}
