"""Value types of the chat service: channels, actors, states, filters of lists."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final, Literal

Channel = Literal["web", "whatsapp", "messenger", "slack", "teams", "telegram", "twilio", "generic"]
CHANNELS: Final[tuple[Channel, ...]] = (
    "web",
    "whatsapp",
    "messenger",
    "slack",
    "teams",
    "telegram",
    "twilio",
    "generic",
)
Direction = Literal["inbound", "outbound"]
ConversationStatus = Literal["open", "pending", "resolved"]
Mode = Literal["bot", "human", "paused"]

MessageState = Literal[
    "received", "queued", "sending", "sent", "delivered", "read", "failed", "unknown", "cancelled"
]
# A state only moves forward in this order, so that any order of statuses gives the same state. A
# provider can report a failure after it has accepted a message, but not after it was delivered.
STATE_ORDER: Final[Mapping[str, int]] = MappingProxyType(
    {
        "queued": 0,
        "sending": 1,
        "unknown": 2,
        "cancelled": 3,
        "sent": 4,
        "failed": 5,
        "delivered": 6,
        "read": 7,
    }
)

AGENT_ACTOR: Final = "agent"
SYSTEM_ACTOR: Final = "system"
TELEGRAM_DIRECT_TOPIC: Final = "direct-"
"""Prefix of the topic of a user in the direct messages of a Telegram channel."""
SPEECH_SOURCE: Final = "speech"
"""Source of messages that repeat an answer of the agent as speech."""


def user_actor(user_id: str) -> str:
    """Return the actor of a user of the suite."""
    return f"user:{user_id}"


def contact_actor(contact_id: str) -> str:
    """Return the actor of a contact."""
    return f"contact:{contact_id}"


def moves_forward(current: str, new: str) -> bool:
    """Return whether the state of a message may change from *current* to *new*."""
    return STATE_ORDER.get(new, -1) > STATE_ORDER.get(current, -1)


@dataclass(frozen=True, slots=True)
class ConversationFilter:
    """Conditions of a list. None accepts everything.

    `ids` are the only conversations to return; `is_assigned` selects those with or without an
    assignee.
    """

    owner_id: str | None = None
    status: str | None = None
    channel: str | None = None
    mode: str | None = None
    assignee_id: str | None = None
    account_id: str | None = None
    contact_id: str | None = None
    ids: tuple[str, ...] | None = None
    is_assigned: bool | None = None


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """Conditions of the history of conversations. None accepts everything.

    Attributes:
        text: words of a message, or a part of the title.
        since: conversations with messages at this time or later, and messages from then on.
        until: conversations that were opened before this time, and messages before it.
    """

    text: str | None = None
    status: str | None = None
    channel: str | None = None
    account_id: str | None = None
    owner_id: str | None = None
    contact_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
