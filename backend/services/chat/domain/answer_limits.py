"""Limits of the answers that one contact gets, so that it cannot use up the tenant's tokens."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Self

from backend.chassis.database.sessions import Session
from backend.services.chat.store import messages

_MINUTE: Final = timedelta(minutes=1)
_DAY: Final = timedelta(days=1)
_PER_MINUTE: Final = 20
_PER_DAY: Final = 200
_MAX_PER_DAY: Final = 5_000


@dataclass(frozen=True, slots=True)
class ContactLimits:
    """Numbers of messages of a conversation that are answered. Further ones are stored only."""

    per_minute: int = _PER_MINUTE
    per_day: int = _PER_DAY

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Read `limits` of an account: contact_per_minute and contact_per_day."""
        limits = settings.get("limits")
        values = limits if isinstance(limits, Mapping) else {}
        return cls(
            _read(values, "contact_per_minute", _PER_MINUTE),
            min(_MAX_PER_DAY, _read(values, "contact_per_day", _PER_DAY)),
        )

    def get_pause(self, session: Session, conversation_id: str, now: datetime) -> timedelta | None:
        """Return how long to wait before the next answer: zero, some time, or None for no answer.

        None means that the messages of the last day exceed the limit.
        """
        times = messages.list_inbound_times(session, conversation_id, now - _DAY, self.per_day + 1)
        if len(times) > self.per_day:
            return None
        recent = [time for time in times if time > now - _MINUTE]
        if len(recent) <= self.per_minute:
            return timedelta(0)
        # Newest first: once this one is a minute old, the limit is kept.
        return recent[self.per_minute] + _MINUTE - now


def _read(values: Mapping[str, Any], name: str, default: int) -> int:
    value = values.get(name)
    is_number = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return int(value) if is_number and value is not None else default
