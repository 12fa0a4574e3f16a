"""Signals that a conversation has changed, for the event streams of all processes."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

# Ephemeral events that wait for a slow reader. Older ones are dropped.
_MAX_WAITING: Final = 1000


@dataclass(frozen=True, slots=True)
class EphemeralEvent:
    """An event that is not stored: typing, or progress of an answer that is being written."""

    name: str
    data: Mapping[str, Any]


class ChangeSignals(Protocol):
    """Carries signals between processes. A lost signal delays readers, who also poll."""

    def publish_change(self, conversation_id: str) -> None:
        """Signal a committed change. Never raises and never blocks for long."""

    def publish_changes(self, conversation_ids: Sequence[str]) -> None:
        """Signal the changes of one commit, as `publish_change`."""

    def publish_event(
        self, tenant_id: str, conversation_id: str, name: str, data: Mapping[str, Any]
    ) -> None:
        """Send an ephemeral event to the current readers. Never raises."""


@dataclass(eq=False, slots=True)
class Watcher:
    """A reader that waits for changes and ephemeral events of one conversation."""

    signal: threading.Event = field(default_factory=threading.Event)
    events: deque[EphemeralEvent] = field(default_factory=lambda: deque(maxlen=_MAX_WAITING))

    def wait(self, seconds: float) -> bool:
        """Return True at the next signal, or False after *seconds*."""
        if not self.signal.wait(seconds):
            return False
        self.signal.clear()
        return True

    def take_events(self) -> Iterator[EphemeralEvent]:
        """Yield and remove the events that wait."""
        while self.events:
            yield self.events.popleft()


class ChangeBoard:
    """The watchers of this process. Signals of this process and of others wake them."""

    def __init__(self) -> None:
        self._watchers: dict[str, set[Watcher]] = {}
        self._listeners: list[Callable[[str], None]] = []
        self._lock = threading.Lock()

    @contextmanager
    def watch(self, conversation_id: str) -> Iterator[Watcher]:
        """Return a watcher of the conversation for the time of the block."""
        watcher = Watcher()
        with self._lock:
            self._watchers.setdefault(conversation_id, set()).add(watcher)
        try:
            yield watcher
        finally:
            with self._lock:
                watchers = self._watchers.get(conversation_id, set())
                watchers.discard(watcher)
                if not watchers:
                    self._watchers.pop(conversation_id, None)

    def add_listener(self, listener: Callable[[str], None]) -> None:
        """Call *listener* with the id of each signal: of a conversation or of an account."""
        self._listeners.append(listener)

    def notify(self, conversation_id: str, name: str | None, data: Mapping[str, Any]) -> None:
        """Wake the watchers of the conversation, with an ephemeral event if *name* is given."""
        for listener in self._listeners:
            listener(conversation_id)
        with self._lock:
            watchers = tuple(self._watchers.get(conversation_id, ()))
        for watcher in watchers:
            if name is not None:
                watcher.events.append(EphemeralEvent(name, data))
            watcher.signal.set()
