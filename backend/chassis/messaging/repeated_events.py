"""Merging of repeated audit events, so that repeated requests do not fill the audit log."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

from backend.chassis.messaging.audit_events import AuditEvent, RequestOrigin
from backend.security.addresses import rate_limit_address

WINDOW_SECONDS = 60.0
# A user who makes more different events than this within a window has their other ones merged,
# whatever their target and address.
_MAX_EVENTS_OF_ACTOR = 20
_MAX_WINDOWS = 4096
# Actor id of further events of different users while that many windows are open.
_SEVERAL_ACTORS = "several"


class _Key(NamedTuple):
    """Identifies equal events. *group* is the address, or the /64 of an IPv6 address."""

    actor_id: str
    tenant_id: str | None
    action: str
    outcome: str
    target: str | None
    group: str


@dataclass(slots=True)
class _Window:
    """Events with one key since *started*, seconds of the monotonic clock.

    The first one is recorded at once; *repeated* is the event that stands for the others.
    """

    started: float
    repeated: AuditEvent
    count: int = 0


class RepeatedEvents:
    """Counts events that repeat within a window of a minute. Safe to share between threads.

    The number of open windows is bounded: further events of a user, and then of all users, are
    counted in one window for each action and outcome.
    """

    def __init__(
        self,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self._clock = clock
        self._windows: dict[_Key, _Window] = {}
        self._windows_of_actor: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add_event(self, event: AuditEvent) -> AuditEvent | None:
        """Return the event to record now, or None if it was counted as a repetition."""
        with self._lock:
            event = self._limit_detail(event)
            window = self._windows.get(_get_key(event))
            if window is None:
                self._open_window(event)
                return event
            now = self._now()
            window.count += 1
            window.repeated = replace(
                window.repeated,
                count=window.count,
                first_at=window.repeated.first_at or now,
                last_at=now if window.count > 1 else None,
            )
            return None

    def take_repetitions(self) -> Sequence[AuditEvent]:
        """Close the windows that have ended and return one event for the repetitions of each."""
        ended = self._clock() - WINDOW_SECONDS
        with self._lock:
            keys = [key for key, window in self._windows.items() if window.started <= ended]
            windows = [self._close_window(key) for key in keys]
        return [window.repeated for window in windows if window.count]

    def _limit_detail(self, event: AuditEvent) -> AuditEvent:
        """Return *event*, without target and address if too many windows are open."""
        if _get_key(event) in self._windows:
            return event
        if self._windows_of_actor[event.actor_id] >= _MAX_EVENTS_OF_ACTOR:
            event = replace(event, target=None, origin=RequestOrigin("", event.origin.request_id))
        if len(self._windows) >= _MAX_WINDOWS and _get_key(event) not in self._windows:
            event = AuditEvent(
                event.action, _SEVERAL_ACTORS, None, RequestOrigin(), outcome=event.outcome
            )
        return event

    def _open_window(self, event: AuditEvent) -> None:
        self._windows[_get_key(event)] = _Window(self._clock(), event)
        self._windows_of_actor[event.actor_id] += 1

    def _close_window(self, key: _Key) -> _Window:
        self._windows_of_actor[key.actor_id] -= 1
        if not self._windows_of_actor[key.actor_id]:
            del self._windows_of_actor[key.actor_id]
        return self._windows.pop(key)


def _get_key(event: AuditEvent) -> _Key:
    return _Key(
        event.actor_id,
        event.tenant_id,
        event.action,
        event.outcome,
        event.target,
        rate_limit_address(event.origin.address),
    )
