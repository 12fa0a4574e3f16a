"""Answers to a choice that a contact has typed, as a number or as the title of an option."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from backend.services.chat.domain.rendering.choices import match_answer, read_options


def is_typed_answer(content: Mapping[str, Any], *, is_call: bool) -> bool:
    """Return whether the text of *content* can name an option.

    Args:
        is_call: the digits that a caller types are a choice already, which names a number.
    """
    is_typed = content.get("type") == "text" or (is_call and content.get("type") == "choice")
    return is_typed and isinstance(content.get("text"), str)


def resolve_typed_answer(
    content: Mapping[str, Any], asked: tuple[Mapping[str, Any], datetime] | None, now: datetime
) -> Mapping[str, Any]:
    """Return *content*, or the option of the last outbound message that its text names.

    Args:
        content: one that can be a typed answer.
        asked: content and time of the last outbound message.
    """
    if asked is None or asked[0].get("type") != "choice":
        return content
    question, asked_at = asked
    options = read_options(question.get("options") or ())
    text = content["text"]
    option = match_answer(text, options, asked_at, now)
    if option is None:
        return content
    choice = {"id": option.id, "title": option.title}
    return {"type": "choice", "choice": choice, "text": text}
