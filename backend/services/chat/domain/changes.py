"""Signals that a conversation has changed, for the event streams of all processes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol


class ChangeSignals(Protocol):
    """Carries signals between processes. A lost signal delays readers, who also poll."""

    def publish_change(self, conversation_id: str) -> None:
        """Signal a committed change. Never raises and never blocks for long."""


@dataclass(eq=False, slots=True)
class Watcher:
    """A reader that waits for changes of one conversation."""

    event: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float) -> bool:
        """Return True at the next signal, or False after *seconds*."""
        if not self.event.wait(seconds):
            return False
        self.event.clear()
        return True


class ChangeBoard:
    """The watchers of this process. Signals of this process and of others wake them."""

    def __init__(self) -> None:
        self._watchers: dict[str, set[Watcher]] = {}
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

    def notify(self, conversation_id: str) -> None:
        """Wake the watchers of the conversation."""
        with self._lock:
            watchers = tuple(self._watchers.get(conversation_id, ()))
        for watcher in watchers:
            watcher.event.set()
