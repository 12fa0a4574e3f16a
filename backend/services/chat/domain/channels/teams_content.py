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
_HTML: Final = "text/html"
_CARDS: Final = "application/vnd.microsoft."
_BREAK = re.compile(r"<(?:br\s*/?|/p|/div|/li)>", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]{0,4096}>")
# The character of an emoji is an attribute, not a text.
_EMOJI_TAG = re.compile(r"<(?:emoji|img)\b[^<>]{0,4096}>")
_EMOJI_TYPE: Final = "http://schema.skype.com/Emoji"
_ALT = re.compile(r"\salt=[\"']([^\"']{1,100})[\"']")
# The text of a message is not HTML, but for the tags of mentions and of quoted messages.
_TEXT_TAG = re.compile(r"</?at\b[^<>]{0,200}>|<quoted\b[^<>]{0,200}>")
_QUOTE = re.compile(r"<blockquote\b[^<>]{0,500}>")
_QUOTED_ID = re.compile(r"\sitemid=[\"']([^\"']{1,100})[\"']")
_REPLY_TYPE: Final = "http://schema.skype.com/Reply"
_END_OF_QUOTE: Final = "</blockquote>"
# Fields in which our own cards return the id of an option, and what they return beside it.
_CHOICE_KEYS: Final = ("choice", "id", "payload", "action")
_CHOICE_MEMBERS: Final = frozenset({*_CHOICE_KEYS, "title", "type", "msteams"})


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
    kinds = [get_text(item, "contentType") for item in get_objects(activity, "attachments")]
    others = [kind for kind in kinds if kind != _HTML]
    return build_unsupported(others[0]) if others and not text else build_text(text)


def is_mentioned(activity: Object) -> bool:
    """Return whether an entity of the activity mentions its recipient, which is our bot."""
    return bool(_get_own_mentions(activity))


def _get_own_mentions(activity: Object) -> list[str]:
    own = get_id(get_object(activity, "recipient"), "id")
    return [
        get_text(entity, "text") or f"<at>{get_text(get_object(entity, 'mentioned'), 'name')}</at>"
        for entity in get_objects(activity, "entities")
        if get_text(entity, "type") == "mention"
        and own
        and get_id(get_object(entity, "mentioned"), "id") == own
    ]


def get_quoted_message(activity: Object) -> str:
    """Return the id of the message that the activity quotes, or an empty text."""
    for entity in get_objects(activity, "entities"):
        if get_text(entity, "type") == "quotedReply":
            return get_id(get_object(entity, "quotedReply"), "messageId")
    return _split_reply(_get_html(activity))[0]


def _get_text(activity: Object) -> str:
    """Return the text without the mention of our bot, or the text of the HTML attachment."""
    text = get_text(activity, "text")
    if not text:
        return _to_plain_text(_split_reply(_get_html(activity))[1])
    for mention in _get_own_mentions(activity):
        text = text.replace(mention, "", 1)
    if get_text(activity, "textFormat") == "xml":
        return _to_plain_text(text)
    return _TEXT_TAG.sub("", text).replace("&nbsp;", " ").strip()


def _get_html(activity: Object) -> str:
    for attachment in get_objects(activity, "attachments"):
        if get_text(attachment, "contentType") == _HTML:
            return get_text(attachment, "content")
    return ""


def _split_reply(html: str) -> tuple[str, str]:
    """Return the id of the quoted message, or an empty text, and the HTML without its quote."""
    quotes = (tag for tag in _QUOTE.finditer(html) if _REPLY_TYPE in tag[0])
    opening = next(quotes, None)
    found = _QUOTED_ID.search(opening[0]) if opening else None
    if opening is None or found is None:
        return "", html
    _, end, rest = html[opening.end() :].partition(_END_OF_QUOTE)
    return found[1], html[: opening.start()] + rest if end else html


def _to_plain_text(html: str) -> str:
    text = _BREAK.sub("\n", _EMOJI_TAG.sub(_get_emoji, html))
    return unescape(_TAG.sub("", text)).replace("\xa0", " ").strip()


def _get_emoji(tag: re.Match[str]) -> str:
    """Return the character of an emoji, or an empty text for another image."""
    is_emoji = tag[0].startswith("<emoji") or _EMOJI_TYPE in tag[0]
    found = _ALT.search(tag[0]) if is_emoji else None
    return found[1] if found else ""


def _build_attachment(attachment: Object) -> dict[str, Json]:
    """Return a reference to a file or an inline image; cards and texts have none."""
    kind = get_text(attachment, "contentType")
    content = get_object(attachment, "content")
    if kind == _FILE:
        return drop_empty(
            media_id=get_id(content, "uniqueId"),
            name=get_text(attachment, "name"),
            url=get_text(content, "downloadUrl"),
        )
    url = get_text(attachment, "contentUrl")
    if url and "/" in kind and kind != _HTML and not kind.startswith(_CARDS):
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
    choice = _get_choice(value)
    if choice:
        return build_choice(choice, text or get_text(value, "title"))
    return {"type": "form", **drop_empty(text=text), "values": dict(value)}


def _get_choice(value: Object) -> str:
    """Return the id of the option in *value*, or an empty text if it has other values too."""
    return get_id(value, *_CHOICE_KEYS) if value.keys() <= _CHOICE_MEMBERS else ""


def build_invoke_content(activity: Object) -> dict[str, Json] | None:
    """Return the content of an invoke by which a user answers us, or None for other invokes."""
    name = get_text(activity, "name")
    value = get_object(activity, "value")
    if name == "fileConsent/invoke":
        action = get_text(value, "action")
        return build_choice(f"file_consent:{action}", action)
    if name == "adaptiveCard/action":
        return _build_action_content(get_object(value, "action"))
    if name == "suggestedActions/submit":
        return _build_value_content(activity.get("value"), "")
    return None


def _build_action_content(action: Object) -> dict[str, Json]:
    data = get_object(action, "data")
    verb = get_text(action, "verb", "id")
    if data.keys() - _CHOICE_MEMBERS:
        return {"type": "form", **drop_empty(form=verb), "values": dict(data)}
    return build_choice(_get_choice(data) or verb or _dump(action), get_text(action, "title"))


def _dump(value: Object) -> str:
    return json.dumps(dict(value), sort_keys=True)[:255]
