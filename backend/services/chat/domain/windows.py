"""The time after a contact's message in which a channel accepts any message."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from backend.services.chat.errors import WindowClosed
from backend.services.chat.store.tables import Conversation

# Hours after the last message of the contact. Other channels have no window.
WINDOW_HOURS: Final[Mapping[str, int]] = MappingProxyType({"whatsapp": 24, "messenger": 24})


def ensure_window_open(
    conversation: Conversation, content: Mapping[str, Any], now: datetime
) -> None:
    """Raise WindowClosed if the channel would refuse *content* now. Templates are accepted."""
    hours = WINDOW_HOURS.get(conversation.channel)
    if hours is None or content.get("type") == "template":
        return
    last = conversation.last_inbound_at
    if last is None or (now - last).total_seconds() > hours * 3600:
        raise WindowClosed(hours)
