"""Limits of answers with the rights of an account, for each contact and for each tenant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Self

from backend.chassis.database.sessions import Session
from backend.services.chat.store import messages, send_rates
from backend.services.chat.store.tables import Conversation, Message

_MINUTE: Final = timedelta(minutes=1)
_DAY: Final = timedelta(days=1)
_PER_MINUTE: Final = 20
_PER_DAY: Final = 200
_MAX_PER_DAY: Final = 5_000
_TOKENS_PER_DAY: Final = 500_000
# 1,000 answers in a minute in the long run, 2,000 at once.
_TENANT_RATE: Final = send_rates.RateLimit(_MINUTE / 1_000, 2_000)
# Key in the details of a conversation: the time that is reserved for its answer.
_SLOT: Final = "answer_slot"


@dataclass(frozen=True, slots=True)
class LimitReached:
    """A limit that prevents an answer until `until`, or if that is None until a new message."""

    code: str
    detail: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class ContactLimits:
    """Limits of the messages and tokens of one contact. Messages beyond them get no answer."""

    per_minute: int = _PER_MINUTE
    per_day: int = _PER_DAY
    tokens_per_day: int = _TOKENS_PER_DAY

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Read `limits` of an account.

        Its names are contact_per_minute, contact_per_day and contact_tokens_per_day.
        """
        limits = settings.get("limits")
        values = limits if isinstance(limits, Mapping) else {}
        return cls(
            _read(values, "contact_per_minute", _PER_MINUTE),
            min(_MAX_PER_DAY, _read(values, "contact_per_day", _PER_DAY)),
            _read(values, "contact_tokens_per_day", _TOKENS_PER_DAY),
        )

    def find_reached_limit(
        self,
        session: Session,
        conversation: Conversation,
        unanswered: Sequence[Message],
        now: datetime,
    ) -> LimitReached | None:
        """Return the limit that the author of the newest of *unanswered* has reached, or None."""
        newest = max(unanswered, key=lambda message: message.seq)
        reached = self.find_message_limit(session, conversation.tenant_id, newest.author, now)
        if reached is not None:
            return reached
        if self._count_tokens(session, conversation, now) >= self.tokens_per_day:
            detail = "The answers to the contact have used more tokens than the account allows."
            return LimitReached("contact_token_limit", detail, None)
        return None

    def find_message_limit(
        self, session: Session, tenant_id: str, author: str, now: datetime, *, new_messages: int = 0
    ) -> LimitReached | None:
        """Return the limit of messages that *author* has reached, or None.

        Args:
            new_messages: messages that are not stored yet.
        """
        times = messages.list_inbound_times(
            session, tenant_id, author, now - _DAY, self.per_day + 1
        )
        detail = "The contact has sent more messages than the account allows."
        if len(times) + new_messages > self.per_day:
            return LimitReached("contact_limit", detail, None)
        recent = [time for time in times if time > now - _MINUTE]
        if len(recent) + new_messages > self.per_minute:
            # Newest first: once this one is a minute old, the limit is kept.
            oldest = recent[self.per_minute - new_messages]
            return LimitReached("contact_limit", detail, oldest + _MINUTE)
        return None

    def _count_tokens(self, session: Session, conversation: Conversation, now: datetime) -> int:
        answers = messages.list_answer_details(
            session, conversation, now - _DAY, self.per_day + _PER_DAY
        )
        return sum(int(details.get("tokens") or 0) for details in answers)


def reserve_tenant_answer(
    session: Session, conversation: Conversation, now: datetime
) -> LimitReached | None:
    """Count an answer of the tenant. Returns when it may be written if that is later than *now*.

    A conversation with a reserved time is not counted again.
    """
    slot = conversation.details.get(_SLOT)
    if slot is None:
        key = send_rates.tenant_key(conversation.tenant_id)
        at = send_rates.reserve(session, conversation.tenant_id, key, _TENANT_RATE, now)
    else:
        at = datetime.fromisoformat(slot)
    details = {name: value for name, value in conversation.details.items() if name != _SLOT}
    conversation.details = details | ({_SLOT: at.isoformat()} if at > now else {})
    if at <= now:
        return None
    return LimitReached("tenant_limit", "The tenant has reached 1,000 answers per minute.", at)


def _read(values: Mapping[str, Any], name: str, default: int) -> int:
    value = values.get(name)
    is_number = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return int(value) if is_number and value is not None else default
