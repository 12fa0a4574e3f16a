"""Handover of conversations from the agent to people and back."""

from datetime import datetime, timedelta
from typing import Any, Final

from backend.services.chat.domain.access import Caller
from backend.services.chat.errors import ConversationTaken
from backend.services.chat.store.tables import Conversation

# Without an answer of a person for this time, the agent answers again.
HUMAN_LIFETIME: Final = timedelta(hours=24)
# The agent waits this long for further messages before it answers.
SILENCE: Final = timedelta(seconds=1.5)


def claim(conversation: Conversation, caller: Caller, now: datetime) -> dict[str, Any]:
    """Return the columns to set when *caller* answers as a colleague.

    Raises:
        ConversationTaken: another person has claimed the conversation.
    """
    if conversation.assignee_id not in (None, caller.user_id):
        raise ConversationTaken
    return {
        "assignee_id": caller.user_id,
        "mode": "human",
        "mode_until": now + HUMAN_LIFETIME,
        "shared_at": conversation.shared_at or now,
        "answered_seq": conversation.last_seq,
        "answer_due_at": None,
    }


def expect_answer(
    conversation: Conversation, now: datetime, *, silence: timedelta = SILENCE
) -> dict[str, Any]:
    """Return the columns to set when an inbound message arrives that the agent may answer."""
    columns: dict[str, Any] = {"last_inbound_at": now, "status": "open"}
    mode_until = conversation.mode_until
    is_expired = mode_until is not None and mode_until <= now
    if conversation.mode == "human" and is_expired:
        columns |= {"mode": "bot", "mode_until": None, "assignee_id": None}
    if columns.get("mode", conversation.mode) == "bot":
        columns |= {"answer_due_at": now + silence, "answer_attempts": 0, "answer_error": None}
    return columns


def change_mode(conversation: Conversation, mode: str, now: datetime) -> dict[str, Any]:
    """Return the columns to set for a change of the mode.

    The agent does not answer what was written while it was silent.
    """
    columns: dict[str, Any] = {"mode": mode, "mode_until": None}
    if mode == "human":
        columns["mode_until"] = now + HUMAN_LIFETIME
    if mode != "bot":
        columns["answer_due_at"] = None
    elif conversation.mode != "bot":
        columns["answered_seq"] = conversation.last_seq
    return columns
