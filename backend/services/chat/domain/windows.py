"""The time after a contact's message in which a channel accepts any message."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from backend.services.chat.domain.rendering.limits import get_limits
from backend.services.chat.domain.sending.parts import get_transport
from backend.services.chat.errors import WindowClosed
from backend.services.chat.store.tables import Conversation


def get_window_hours(conversation: Conversation) -> int | None:
    """Return the hours after a contact's last message, None for a channel without a window."""
    transport = get_transport(conversation.channel, conversation.key, conversation.details)
    return get_limits(conversation.channel, transport).window_hours


def is_window_open(conversation: Conversation, now: datetime) -> bool:
    """Return whether the channel accepts messages that are no templates in *conversation*."""
    hours, last = get_window_hours(conversation), conversation.last_inbound_at
    return hours is None or (last is not None and now - last <= timedelta(hours=hours))


def ensure_window_open(
    conversation: Conversation, content: Mapping[str, Any], now: datetime
) -> None:
    """Raise WindowClosed if the channel would refuse *content* now. Templates are accepted."""
    hours = get_window_hours(conversation)
    is_template = content.get("type") == "template"
    if hours is not None and not is_template and not is_window_open(conversation, now):
        raise WindowClosed(hours)
