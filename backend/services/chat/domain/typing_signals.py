"""Signals that a participant of a conversation types."""

from backend.services.chat.domain.access import Caller
from backend.services.chat.domain.changes import ChangeSignals


class TypingSignals:
    """Sends typing to the current readers of a conversation. Nothing is stored."""

    def __init__(self, signals: ChangeSignals) -> None:
        self._signals = signals

    def publish_typing(self, caller: Caller, conversation_id: str, *, is_typing: bool) -> None:
        """Send whether *caller* types, who must see the conversation."""
        data = {"actor": caller.actor, "typing": is_typing}
        self._signals.publish_event(caller.tenant_id, conversation_id, "typing", data)
