"""Content of WhatsApp messages by message type."""

import json
from collections.abc import Callable
from typing import Final

from backend.services.chat.domain.channels.events import (
    build_choice,
    build_error,
    build_location,
    build_media,
    build_text,
    build_unsupported,
)
from backend.services.chat.domain.channels.fields import (
    InvalidPayload,
    Json,
    Object,
    clean,
    drop_empty,
    get_id,
    get_number,
    get_object,
    get_objects,
    get_size,
    get_text,
    is_true,
)

_MEDIA: Final = {
    "image": "image",
    "audio": "audio",
    "voice": "audio",
    "video": "video",
    "document": "file",
    "sticker": "sticker",
}


def build_content(message: Object) -> dict[str, Json]:
    """Return the content of *message*; what is unknown becomes `unsupported` with its reason."""
    kind = get_text(message, "type")
    errors = get_objects(message, "errors")
    if errors or kind == "unsupported":
        what = get_text(get_object(message, "unsupported"), "type") or kind
        return build_unsupported(what, build_error(errors[0]) if errors else None)
    if kind in _MEDIA:
        return _build_media(kind, get_object(message, kind))
    build = _BUILDERS.get(kind)
    return build(message) if build else build_unsupported(kind or "unknown")


def _build_text(message: Object) -> dict[str, Json]:
    return build_text(get_text(get_object(message, "text"), "body"))


def _build_media(kind: str, media: Object) -> dict[str, Json]:
    attachment = drop_empty(
        media_id=get_id(media, "id"),
        mime=get_text(media, "mime_type"),
        sha256=get_text(media, "sha256"),
        name=get_text(media, "filename"),
        size=get_size(media, "file_size"),
        url=get_text(media, "url"),
    )
    return build_media(
        _MEDIA[kind],
        [attachment],
        get_text(media, "caption"),
        voice=True if is_true(media, "voice") or kind == "voice" else None,
        animated=True if is_true(media, "animated") else None,
    )


def _build_location(message: Object) -> dict[str, Json]:
    location = get_object(message, "location")
    return build_location(
        get_number(location, "latitude"),
        get_number(location, "longitude"),
        get_text(location, "name", "address"),
    )


def _build_contacts(message: Object) -> dict[str, Json]:
    contacts: list[Json] = [
        drop_empty(
            name=_get_name(get_object(contact, "name")),
            phones=_list_ids(contact, "phones", "phone", "wa_id"),
            emails=_list_ids(contact, "emails", "email"),
            company=get_text(get_object(contact, "org"), "company"),
        )
        for contact in get_objects(message, "contacts")
    ]
    return {"type": "contacts", "contacts": contacts}


def _get_name(name: Object) -> str:
    parts = (get_text(name, "first_name"), get_text(name, "last_name"))
    return get_text(name, "formatted_name") or " ".join(part for part in parts if part)


def _list_ids(contact: Object, name: str, *keys: str) -> list[Json]:
    return [found for entry in get_objects(contact, name) if (found := get_id(entry, *keys))]


def _build_button(message: Object) -> dict[str, Json]:
    button = get_object(message, "button")
    title = get_text(button, "text")
    return build_choice(get_text(button, "payload") or title, title)


def _build_interactive(message: Object) -> dict[str, Json]:
    interactive = get_object(message, "interactive")
    kind = get_text(interactive, "type")
    reply = get_object(interactive, kind)
    if kind in {"button_reply", "list_reply"}:
        return build_choice(
            get_id(reply, "id"),
            get_text(reply, "title"),
            description=get_text(reply, "description"),
        )
    if kind == "nfm_reply":
        return {
            "type": "form",
            "form": get_text(reply, "name"),
            "values": _parse_values(get_text(reply, "response_json")),
        }
    return build_unsupported(f"interactive:{kind or None}")


def _parse_values(text: str) -> Json:
    """Parse the answers of a flow, which are JSON in a text."""
    try:
        values = clean(json.loads(text))
    except (ValueError, RecursionError, InvalidPayload):
        return {}
    return values if isinstance(values, dict) else {}


def _build_order(message: Object) -> dict[str, Json]:
    order = get_object(message, "order")
    items: list[Json] = []
    for item in get_objects(order, "product_items"):
        quantity = get_number(item, "quantity")
        entry: dict[str, Json] = {
            "id": get_id(item, "product_retailer_id"),
            "quantity": int(quantity) if quantity is not None else None,
            "price": get_number(item, "item_price"),
            "currency": get_text(item, "currency"),
        }
        items.append(drop_empty(**entry))
    return {
        "type": "order",
        **drop_empty(catalog_id=get_id(order, "catalog_id"), text=get_text(order, "text")),
        "items": items,
    }


_BUILDERS: Final[dict[str, Callable[[Object], dict[str, Json]]]] = {
    "text": _build_text,
    "location": _build_location,
    "contacts": _build_contacts,
    "button": _build_button,
    "interactive": _build_interactive,
    "order": _build_order,
}
