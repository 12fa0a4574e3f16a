"""Content of Telegram messages."""

import re
from typing import Final

from backend.services.chat.domain.channels.events import (
    build_choice,
    build_location,
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
    get_number,
    get_object,
    get_objects,
    get_size,
    get_text,
)

# A message with `animation` also has `document`, so that the order matters.
_MEDIA: Final = (
    ("animation", "video"),
    ("audio", "audio"),
    ("voice", "audio"),
    ("video_note", "video"),
    ("video", "video"),
    ("document", "file"),
)
# What continues a user name, which has letters of ASCII only.
_NAME: Final = re.compile(r"[a-z0-9_]")
_UNSUPPORTED: Final = (
    "dice",
    "poll",
    "game",
    "story",
    "invoice",
    "giveaway",
    "giveaway_winners",
    "paid_media",
    "checklist",
    "passport_data",
)


def build_content(message: Object) -> dict[str, Json] | None:
    """Return the content of *message*, or None if it is a service message, such as a new title."""
    if isinstance(message.get("text"), str):
        return _build_text(message)
    if get_objects(message, "photo"):
        return _build_photo(message)
    if get_object(message, "sticker"):
        sticker = get_object(message, "sticker")
        attachment = _build_attachment(sticker)
        return build_media("sticker", [attachment], emoji=get_text(sticker, "emoji"))
    for name, media_type in _MEDIA:
        if get_object(message, name):
            return _build_media(message, name, media_type)
    return _build_other(message)


def is_mentioned(message: Object, account: Object) -> bool:
    """Return whether a message of a group is for our bot: mention, command or reply."""
    users = [get_object(message, "reply_to_message", "from")]
    for name in ("entities", "caption_entities"):  # `text_mention` is one without a user name
        users += [get_object(entity, "user") for entity in get_objects(message, name)]
    if any(is_own_bot(user, account) for user in users):
        return True
    username = _get_own_username(account)
    text = get_text(message, "text", "caption").lower()
    return bool(username) and any(
        _NAME.match(text, found.end()) is None
        for found in re.finditer(re.escape(f"@{username}"), text)
    )


def is_own_bot(user: Object, account: Object) -> bool:
    """Return whether *user* is our bot, by its id or its user name."""
    own_id, username = get_id(account, "bot_id"), _get_own_username(account)
    return (own_id != "" and get_id(user, "id") == own_id) or (
        username != "" and get_text(user, "username").lower() == username
    )


def _get_own_username(account: Object) -> str:
    return get_text(account, "bot_username").removeprefix("@").lower()


def _build_text(message: Object) -> dict[str, Json]:
    text = get_text(message, "text")
    for entity in get_objects(message, "entities"):
        is_first = entity.get("offset") == 0
        if get_text(entity, "type") == "bot_command" and is_first and text.strip():
            command, *arguments = text.split(maxsplit=1)
            return {
                "type": "command",
                "command": command.partition("@")[0],
                "text": "".join(arguments).strip(),
            }
    return build_text(text)


def _build_photo(message: Object) -> dict[str, Json]:
    """Return the image of the largest size; an album comes as several messages."""
    sizes = get_objects(message, "photo")
    largest = max(sizes, key=lambda size: (_get_area(size), get_size(size, "file_size") or 0))
    return build_media("image", [_build_attachment(largest)], get_text(message, "caption"))


def _get_area(size: Object) -> float:
    return (get_number(size, "width") or 0) * (get_number(size, "height") or 0)


def _build_media(message: Object, name: str, media_type: str) -> dict[str, Json]:
    return build_media(
        media_type,
        [_build_attachment(get_object(message, name))],
        get_text(message, "caption"),
        voice=True if name == "voice" else None,
    )


def _build_attachment(file: Object) -> dict[str, Json]:
    return drop_empty(
        media_id=get_id(file, "file_id"),
        mime=get_text(file, "mime_type"),
        name=get_text(file, "file_name"),
        size=get_size(file, "file_size"),
    )


def _build_other(message: Object) -> dict[str, Json] | None:
    venue = get_object(message, "venue")
    location = get_object(message, "location") or get_object(venue, "location")
    if location:
        return build_location(
            get_number(location, "latitude"),
            get_number(location, "longitude"),
            get_text(venue, "title", "address"),
        )
    contact = get_object(message, "contact")
    if contact:
        return _build_contact(contact)
    data = get_object(message, "web_app_data")
    if data:
        return build_choice(get_text(data, "data"), get_text(data, "button_text"))
    caption = get_text(message, "caption")
    unsupported = next((name for name in _UNSUPPORTED if name in message), "")
    if unsupported:
        return {**build_unsupported(unsupported), **drop_empty(text=caption)}
    return _build_unknown_file(message) or (build_text(caption) if caption else None)


def _build_unknown_file(message: Object) -> dict[str, Json] | None:
    """Return the file of a kind of media that the Bot API did not have yet."""
    for name in message:
        file = get_object(message, name)
        if get_id(file, "file_id"):
            media_type = get_media_type([get_text(file, "mime_type")])
            return build_media(media_type, [_build_attachment(file)], get_text(message, "caption"))
    return None


def _build_contact(contact: Object) -> dict[str, Json]:
    names = (get_text(contact, "first_name"), get_text(contact, "last_name"))
    phone = get_id(contact, "phone_number")
    card = drop_empty(
        name=" ".join(part for part in names if part), phones=[phone] if phone else None
    )
    return {"type": "contacts", "contacts": [card]}
