"""Daily token quotas of users and tenants: checked before a run and counted during it."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from uuid import uuid4

from backend.chassis.database.sessions import Database, Session
from backend.services.agent.errors import DailyTokensExhausted
from backend.services.agent.model import Caller, IdleEvent, RunEvent, TextDelta, TokenUsage
from backend.services.agent.store import usage
from backend.services.agent.store.tables import Reservation

# Tokens of a typical answer.
_RESERVED_TOKENS_PER_RUN: Final = 4_000
# The reservation of a killed run expires after this time.
_RESERVATION_LIFETIME: Final = timedelta(minutes=15)
_CHARACTERS_PER_TOKEN: Final = 4


@dataclass(frozen=True, slots=True)
class DailyTokenLimits:
    """Tokens per day; 0 for no limit."""

    user: int = 0
    tenant: int = 0


@dataclass(frozen=True, slots=True)
class QuotaUsage:
    """Tokens used today, and the daily limit; None for no limit."""

    used: int
    limit: int | None

    @property
    def remaining(self) -> int | None:
        return None if self.limit is None else max(0, self.limit - self.used)


@dataclass(frozen=True, slots=True)
class DailyUsage:
    """Tokens that one user used of one model on one day (UTC)."""

    day: date
    user_id: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    calls: int


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Usage of the current day, which ends at `resets_at`, and usage by day."""

    user: QuotaUsage
    tenant: QuotaUsage
    resets_at: datetime
    days: Sequence[DailyUsage]


class QuotaService:
    """Checks and counts the daily token usage."""

    def __init__(
        self, database: Database, daily_token_limits: DailyTokenLimits, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._limits_per_day = daily_token_limits
        self._now = now

    def check_quota(self, caller: Caller) -> None:
        """Raise DailyTokensExhausted if *caller* has no tokens left for another run today."""
        if self._get_limits(caller):
            with self._database.read(caller.tenant_id) as session:
                self._get_remaining_tokens(session, caller)

    @contextmanager
    def reserve_tokens(self, caller: Caller, model: str) -> Iterator["UsageMeter"]:
        """Reserve tokens for one run of *model* until the context exits, and return its meter.

        Concurrent runs count each other's reservations. Each run may use all remaining tokens, so
        together they can exceed the limit by less than one run each.

        Raises:
            DailyTokensExhausted: no tokens are left.
        """
        meter = self.create_meter(caller, model)
        meter.reserve_tokens()
        try:
            yield meter
        finally:
            if meter.has_uncounted_usage:
                with self._database.write(caller.tenant_id) as session:
                    meter.finish(session)

    def create_meter(self, caller: Caller, model: str) -> "UsageMeter":
        """Return the meter of one run of *model*. The run ends with `UsageMeter.finish`."""
        return UsageMeter(self, caller, model)

    def get_usage_report(
        self, caller: Caller, days: int, *, whole_tenant: bool = False
    ) -> UsageReport:
        """Return the usage of the last *days* days, of the caller or of all users of the tenant."""
        now = self._now()
        first = now.date() - timedelta(days=days - 1)
        with self._database.read(caller.tenant_id) as session:
            rows = usage.list_usage(
                session, caller.tenant_id, first, None if whole_tenant else caller.user_id
            )
            return UsageReport(
                self._get_quota_usage(session, caller, caller.user_id, self._limits_per_day.user),
                self._get_quota_usage(session, caller, None, self._limits_per_day.tenant),
                _get_end_of_day(now),
                [
                    DailyUsage(
                        row.day,
                        row.user_id,
                        row.model,
                        row.prompt_tokens,
                        row.completion_tokens,
                        row.calls,
                    )
                    for row in rows
                ],
            )

    def _get_quota_usage(
        self, session: Session, caller: Caller, user_id: str | None, limit: int
    ) -> QuotaUsage:
        used = usage.sum_tokens(session, caller.tenant_id, self._now().date(), user_id)
        return QuotaUsage(used, limit or None)

    def _get_limits(self, caller: Caller) -> Mapping[str | None, int]:
        """Return the configured limits by user id; the key None is the limit of the tenant."""
        limits = {caller.user_id: self._limits_per_day.user, None: self._limits_per_day.tenant}
        return {user_id: limit for user_id, limit in limits.items() if limit}

    def _get_remaining_tokens(self, session: Session, caller: Caller) -> int:
        """Return the tokens that *caller* may use today, or raise DailyTokensExhausted if none."""
        now = self._now()
        remaining = []
        for user_id, limit in self._get_limits(caller).items():
            used = usage.sum_tokens(session, caller.tenant_id, now.date(), user_id)
            free = limit - used - usage.sum_reserved_tokens(session, caller.tenant_id, now, user_id)
            if free <= 0:
                # If only reservations exceed the limit, a retry succeeds after those runs end.
                retry_after = _get_end_of_day(now) - now if used >= limit else timedelta(seconds=15)
                raise DailyTokensExhausted(
                    "your tenant" if user_id is None else "you", limit, retry_after
                )
            remaining.append(free)
        return min(remaining)

    def add_reservation(self, caller: Caller, reservation_id: str) -> int | None:
        """Reserve tokens and return the remaining ones; None if there is no limit.

        Raises:
            DailyTokensExhausted: no tokens are left.
        """
        if not self._get_limits(caller):
            return None
        now = self._now()
        with self._database.write(caller.tenant_id) as session:
            usage.lock_usage(session, caller.tenant_id)
            remaining_tokens = self._get_remaining_tokens(session, caller)
            reservation = Reservation(
                id=reservation_id,
                tenant_id=caller.tenant_id,
                user_id=caller.user_id,
                tokens=min(remaining_tokens, _RESERVED_TOKENS_PER_RUN),
                until=now + _RESERVATION_LIFETIME,
            )
            usage.add_reservation(session, reservation, now)
        return remaining_tokens

    def store_usage(self, caller: Caller, responses: Sequence[TokenUsage]) -> None:
        """Add the tokens of *responses* to the caller's usage."""
        with self._database.write(caller.tenant_id) as session:
            self.add_usage(session, caller, responses)

    def add_usage(self, session: Session, caller: Caller, responses: Sequence[TokenUsage]) -> None:
        """Add the tokens of *responses* to the caller's usage, in the transaction of *session*."""
        usage.lock_usage(session, caller.tenant_id)
        for response in responses:
            key = {
                "tenant_id": caller.tenant_id,
                "day": self._now().date(),
                "user_id": caller.user_id,
                "model": response.model,
            }
            counts = {
                "prompt_tokens": response.prompt_tokens,
                "completion_tokens": response.completion_tokens,
                "calls": 1,
            }
            usage.add_usage(session, key, counts)


class UsageMeter:
    """Counts the tokens of one run, which may use `remaining_tokens`; None for no limit.

    The usage of a response is stored when the run is idle, for example while a tool or a model
    works, or else with the outcome of the run.
    """

    def __init__(self, quotas: QuotaService, caller: Caller, model: str) -> None:
        self.remaining_tokens: int | None = None
        self._quotas = quotas
        self._caller = caller
        self._model = model
        self._responses: list[TokenUsage] = []
        self._uncounted_characters = 0
        self._reservation_id: str | None = None

    @property
    def has_uncounted_usage(self) -> bool:
        """Return whether `finish` has anything to store."""
        is_reserved = self._reservation_id is not None
        return bool(self._responses or self._uncounted_characters or is_reserved)

    def reserve_tokens(self) -> None:
        """Reserve tokens until `finish`. Raises DailyTokensExhausted if none are left."""
        reservation_id = f"res_{uuid4().hex}"
        self.remaining_tokens = self._quotas.add_reservation(self._caller, reservation_id)
        if self.remaining_tokens is not None:
            self._reservation_id = reservation_id

    def count_event(self, event: RunEvent) -> None:
        """Count the token usage in *event*."""
        match event:
            case TextDelta(text):
                self._uncounted_characters += len(text)
            case TokenUsage():
                self._uncounted_characters, self._model = 0, event.model
                self._responses.append(event)
            case IdleEvent() if self._responses:
                self._quotas.store_usage(self._caller, self._take_responses())

    def estimate_interrupted_response(self) -> TokenUsage | None:
        """Count a response that was interrupted before it reported its usage, and return it.

        Its tokens are estimated. Returns None if there is no such response.
        """
        if not self._uncounted_characters:
            return None
        tokens = math.ceil(self._uncounted_characters / _CHARACTERS_PER_TOKEN)
        estimate = TokenUsage(self._model, 0, tokens)
        self._responses.append(estimate)
        self._uncounted_characters = 0
        return estimate

    def finish(self, session: Session) -> None:
        """Store what is not stored yet in the transaction of *session*, and end the reservation."""
        self.estimate_interrupted_response()
        if self._responses:
            self._quotas.add_usage(session, self._caller, self._take_responses())
        if self._reservation_id is not None:
            usage.delete_reservation(session, self._reservation_id)

    def _take_responses(self) -> Sequence[TokenUsage]:
        responses, self._responses = self._responses, []
        return responses


def _get_end_of_day(now: datetime) -> datetime:
    """Return the end of the day in UTC."""
    return datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time(), UTC)
