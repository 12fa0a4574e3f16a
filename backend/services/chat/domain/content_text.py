"""The text of a message's content, for the search index, titles and the agent."""

from collections.abc import Iterator, Mapping
from typing import Any

_TEXT_MEMBERS = (
    "text",
    "transcript",
    "title",
    "name",
    "address",
    "emoji",
    "command",
    "url",
    "what",
)


def get_text(content: Mapping[str, Any]) -> str:
    """Return everything in *content* that a person can read, one part a line."""
    return "\n".join(part for part in _iterate_texts(content) if part)


def get_request_text(content: Mapping[str, Any]) -> str:
    """Return what a message of this content says to the agent."""
    if content.get("type") == "audio" and content.get("transcript"):
        return "\n".join(filter(None, (str(content.get("text") or ""), content["transcript"])))
    match content.get("type"):
        case "text":
            return str(content.get("text", ""))
        case "choice":
            choice = content.get("choice") or {}
            return str(choice.get("title") or content.get("text") or choice.get("id") or "")
        case "command":
            return f"{content.get('command', '')} {content.get('text') or ''}".strip()
        case "location":
            place = content.get("name") or content.get("address") or ""
            return f"Location {content.get('latitude')}, {content.get('longitude')} {place}".strip()
        case "form":
            values = content.get("values") or {}
            return "\n".join(f"{name}: {value}" for name, value in values.items())
        case "order":
            items = content.get("items") or []
            lines = [f"{item.get('quantity', 1)} x {item.get('id', '')}" for item in items]
            return "\n".join(["Order", *lines, str(content.get("text") or "")]).strip()
        case "image" | "audio" | "video" | "file" | "sticker" as kind:
            attachments = content.get("attachments") or []
            names = [str(item.get("name") or item.get("mime") or kind) for item in attachments]
            caption = str(content.get("text") or "")
            return "\n".join([f"[{kind}: {', '.join(names) or kind}]", caption]).strip()
    return get_text(content)


def _iterate_texts(content: Mapping[str, Any]) -> Iterator[str]:
    for name in _TEXT_MEMBERS:
        value = content.get(name)
        if isinstance(value, str):
            yield value
    for value in content.values():
        if isinstance(value, Mapping):
            yield from _iterate_texts(value)
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, Mapping):
                    yield from _iterate_texts(item)
                elif isinstance(item, str):
                    yield item
