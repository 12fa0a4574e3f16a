"""Text, files and conversation of Slack messages."""

from typing import Final

from backend.services.chat.domain.channels.events import build_media, build_text, get_media_type
from backend.services.chat.domain.channels.fields import (
    Json,
    Object,
    drop_empty,
    get_id,
    get_object,
    get_objects,
    get_size,
    get_text,
    is_true,
)

# How elements of rich text are written in the text of a message: member and form.
_REFERENCES: Final = {
    "user": ("user_id", "<@{}>"),
    "channel": ("channel_id", "<#{}>"),
    "usergroup": ("usergroup_id", "<!subteam^{}>"),
    "broadcast": ("range", "<!{}>"),
    "emoji": ("name", ":{}:"),
}
_MAX_DEPTH: Final = 8
# Files of which only the id is left.
_LOST_FILES: Final = ("tombstone", "hidden_by_limit")


def get_conversation_key(channel: str, thread: str) -> str:
    """Return the key of a thread, or without *thread* of a direct message."""
    return f"channel:{channel}:{thread}" if thread else f"channel:{channel}"


def build_content(message: Object) -> dict[str, Json]:
    """Return the content of *message*: its files, and its text with that of what it shares."""
    text = _join(get_message_text(message), _get_forwarded_text(message))
    text = text or _get_shared_text(message)
    files = [
        item
        for item in get_objects(message, "files")
        if get_id(item, "id") and get_text(item, "mode") not in _LOST_FILES
    ]
    if not files:
        return build_text(text)
    media_type = get_media_type([get_text(item, "mimetype") for item in files])
    return build_media(media_type, [_build_attachment(item) for item in files], text)


def get_message_text(message: Object) -> str:
    """Return the text of *message*, or of its blocks if it has none."""
    return get_text(message, "text") or get_text_of_blocks(get_objects(message, "blocks"))


def _get_forwarded_text(message: Object) -> str:
    """Return the text of a message that the user forwards; other attachments are previews."""
    attachments = get_objects(message, "attachments")
    return _join(*(get_message_text(item) for item in attachments if is_true(item, "is_share")))


def _get_shared_text(message: Object) -> str:
    """Return the texts of the attachments of a message without a text."""
    attachments = get_objects(message, "attachments")
    found = _join(*(get_message_text(item) for item in attachments))
    return found or _join(*(get_text(item, "fallback") for item in attachments))


def _join(*texts: str) -> str:
    return "\n".join(text for text in texts if text)


def _build_attachment(file: Object) -> dict[str, Json]:
    return drop_empty(
        media_id=get_id(file, "id"),
        mime=get_text(file, "mimetype"),
        name=get_text(file, "name", "title"),
        size=get_size(file, "size"),
        url=get_text(file, "url_private_download", "url_private"),
    )


def get_text_of_blocks(blocks: list[Object]) -> str:
    """Return the text of Block Kit blocks, one block a line."""
    return "\n".join(text for block in blocks if (text := _get_block_text(block)))


def _get_block_text(block: Object) -> str:
    if get_text(block, "type") == "rich_text":
        return _get_rich_text(block, 0)
    if get_text(block, "type") == "markdown":
        return get_text(block, "text")
    texts = [get_object(block, "text"), *get_objects(block, "fields")]
    if get_text(block, "type") == "context":
        texts += get_objects(block, "elements")
    return "\n".join(text for item in texts if (text := get_text(item, "text")))


def _get_rich_text(element: Object, depth: int) -> str:
    """Return the text of *element*: sections and items of lists are lines."""
    kind = get_text(element, "type")
    if kind in _REFERENCES:
        name, form = _REFERENCES[kind]
        return form.format(get_id(element, name))
    if kind == "link" and get_text(element, "text"):
        return f"<{get_text(element, 'url')}|{get_text(element, 'text')}>"
    children = get_objects(element, "elements")
    if not children or depth > _MAX_DEPTH:
        return get_text(element, "text", "url", "fallback")  # a date has a fallback
    separator = "\n" if kind in {"rich_text", "rich_text_list"} else ""
    return separator.join(_get_rich_text(child, depth + 1) for child in children)
