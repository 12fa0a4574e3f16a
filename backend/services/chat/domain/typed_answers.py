"""Answers to a choice that a contact has typed, as a number or as the title of an option."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from backend.chassis.database.sessions import Session
from backend.services.chat.domain.rendering.choices import match_answer, read_options
from backend.services.chat.store.messages import find_last_outbound


def resolve_typed_answer(
    session: Session,
    conversation_id: str,
    content: Mapping[str, Any],
    now: datetime,
    *,
    is_call: bool = False,
) -> Mapping[str, Any]:
    """Return *content*, or the option of the last outbound message that its text names.

    Args:
        is_call: the digits that a caller types are a choice already, which names a number.
    """
    text = content.get("text")
    is_typed = content.get("type") == "text" or (is_call and content.get("type") == "choice")
    if not is_typed or not isinstance(text, str):
        return content
    asked = find_last_outbound(session, conversation_id)
    if asked is None or asked[0].get("type") != "choice":
        return content
    question, asked_at = asked
    options = read_options(question.get("options") or ())
    option = match_answer(text, options, asked_at, now)
    if option is None:
        return content
    choice = {"id": option.id, "title": option.title}
    return {"type": "choice", "choice": choice, "text": text}
