"""Content of Teams activities: text, files, values of cards, and invokes."""

import json
import re
from html import unescape
from typing import Final

from backend.services.chat.domain.channels.events import (
    build_choice,
    build_media,
    build_text,
    build_unsupported,
    get_media_type,
)
from backend.services.chat.domain.channels.fields import (
    Json,
    Object,
    drop_empty,
    get_id,
    get_object,
    get_objects,
    get_size,
    get_text,
)

_FILE: Final = "application/vnd.microsoft.teams.file.download.info"
_BREAK = re.compile(r"<(?:br\s*/?|/p|/div|/li)>", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]{0,4096}>")
# Fields in which our own cards return the id of an option.
_CHOICE_KEYS: Final = ("choice", "id", "payload", "action")


def build_content(activity: Object) -> dict[str, Json]:
    """Return the content of a message activity."""
    text = _get_text(activity)
    files = [
        attachment
        for item in get_objects(activity, "attachments")
        if (attachment := _build_attachment(item))
    ]
    if files:
        mimes = [str(item.get("mime", "")) for item in files]
        return build_media(get_media_type(mimes), list(files), text)
    value = activity.get("value")
    if value:
        return _build_value_content(value, text)
    if text or not get_objects(activity, "attachments"):
        return build_text(text)
    return build_unsupported(get_text(get_objects(activity, "attachments")[0], "contentType"))


def is_mentioned(activity: Object) -> bool:
    """Return whether an entity of the activity mentions its recipient, which is our bot."""
    return bool(_get_own_mentions(activity))


def _get_own_mentions(activity: Object) -> list[str]:
    own = get_id(get_object(activity, "recipient"), "id")
    return [
        get_text(entity, "text")
        for entity in get_objects(activity, "entities")
        if get_text(entity, "type") == "mention"
        and own
        and get_id(get_object(entity, "mentioned"), "id") == own
    ]


def _get_text(activity: Object) -> str:
    """Return the text without the mention of our bot, or the text of the HTML attachment."""
    text = get_text(activity, "text")
    for mention in _get_own_mentions(activity):
        if mention:
            text = text.replace(mention, "", 1)
    if text:
        return _to_plain_text(text) if "<at" in text else text.strip()
    for attachment in get_objects(activity, "attachments"):
        if get_text(attachment, "contentType") == "text/html":
            return _to_plain_text(get_text(attachment, "content"))
    return ""


def _to_plain_text(html: str) -> str:
    return unescape(_TAG.sub("", _BREAK.sub("\n", html))).replace("\xa0", " ").strip()


def _build_attachment(attachment: Object) -> dict[str, Json]:
    """Return a reference to a file or an inline image; other attachments have none."""
    kind = get_text(attachment, "contentType")
    content = get_object(attachment, "content")
    if kind == _FILE:
        return drop_empty(
            media_id=get_id(content, "uniqueId"),
            name=get_text(attachment, "name"),
            url=get_text(content, "downloadUrl"),
        )
    url = get_text(attachment, "contentUrl")
    if kind.partition("/")[0] in {"image", "audio", "video"} and url:
        return drop_empty(
            mime=kind,
            name=get_text(attachment, "name"),
            size=get_size(attachment, "size"),
            url=url,
        )
    return {}


def _build_value_content(value: Json, text: str) -> dict[str, Json]:
    """Return the content of a submitted card: a chosen option, or the values of a form."""
    if isinstance(value, str | int):
        return build_choice(str(value), text)
    if not isinstance(value, dict):
        return build_text(text)
    choice = get_id(value, *_CHOICE_KEYS)
    if choice:
        return build_choice(choice, text or get_text(value, "title"))
    return {"type": "form", **drop_empty(text=text), "values": dict(value)}


def build_invoke_content(activity: Object) -> dict[str, Json] | None:
    """Return the content of an invoke by which a user answers us, or None for other invokes."""
    name = get_text(activity, "name")
    value = get_object(activity, "value")
    if name == "fileConsent/invoke":
        action = get_text(value, "action")
        return build_choice(f"file_consent:{action}", action)
    if name == "adaptiveCard/action":
        action_of_card = get_object(value, "action")
        choice = get_id(get_object(action_of_card, "data"), *_CHOICE_KEYS)
        verb = get_text(action_of_card, "verb", "id")
        title = get_text(action_of_card, "title")
        return build_choice(choice or verb or _dump(action_of_card), title)
    return None


def _dump(value: Object) -> str:
    return json.dumps(dict(value), sort_keys=True)[:255]
