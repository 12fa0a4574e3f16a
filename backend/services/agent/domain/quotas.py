"""How many tokens a day users and tenants may use: weighed before a run, counted while it runs."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from uuid import uuid4

from backend.chassis.database.sessions import Database, Session
from backend.services.agent.clients.runs import Caller, Event, Text, Used
from backend.services.agent.errors import DailyTokensUsed
from backend.services.agent.store import usage
from backend.services.agent.store.tables import Reservation, Usage

# About what one answer of a model takes.
_RESERVED: Final = 4_000
# A run that was killed gives its reservation back after this.
_LONGEST_RUN: Final = timedelta(minutes=15)
_CHARACTERS_A_TOKEN: Final = 4


@dataclass(frozen=True, slots=True)
class Allowance:
    """Tokens a day; 0 is no limit."""

    user: int = 0
    tenant: int = 0


@dataclass(frozen=True, slots=True)
class Spending:
    """What was used today of an allowance, None for one without an end."""

    used: int
    limit: int | None

    @property
    def remaining(self) -> int | None:
        return None if self.limit is None else max(0, self.limit - self.used)


@dataclass(frozen=True, slots=True)
class DaysUsage:
    """What one user used of one model on one day."""

    day: date
    user_id: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    calls: int


@dataclass(frozen=True, slots=True)
class Report:
    """Today's spending, until `resets_at`, and the days before."""

    user: Spending
    tenant: Spending
    resets_at: datetime
    days: Sequence[DaysUsage]


class Quotas:
    """The allowances, and what has been used of them."""

    def __init__(
        self, database: Database, allowance: Allowance, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._allowance = allowance
        self._now = now

    def check(self, caller: Caller) -> None:
        """DailyTokensUsed if *caller* may not begin another run today."""
        if self._limits(caller):
            with self._database.read(caller.tenant_id) as session:
                self._left(session, caller)

    @contextmanager
    def admitted(self, caller: Caller, model: str) -> Iterator["Meter"]:
        """A meter for one run of *model*, which has reserved something until its end.

        Runs that begin at once see one another's reservations; each may go on to use all that
        is left, so that together they overshoot by less than a run each.
        """
        reservation_id = f"res_{uuid4().hex}"
        left = self._reserve(caller, reservation_id) if self._limits(caller) else None
        meter = Meter(left, model, lambda used: self._count(caller, used))
        try:
            yield meter
        finally:
            meter.end()
            if left is not None:
                with self._database.write(caller.tenant_id) as session:
                    usage.release(session, reservation_id)

    def report(self, caller: Caller, days: int, *, everyone: bool = False) -> Report:
        """What the caller, or everyone of the tenant, has used in the last *days* days."""
        now = self._now()
        first = now.date() - timedelta(days=days - 1)
        with self._database.read(caller.tenant_id) as session:
            rows = usage.since(
                session, caller.tenant_id, first, None if everyone else caller.user_id
            )
            return Report(
                self._spending(session, caller, caller.user_id, self._allowance.user),
                self._spending(session, caller, None, self._allowance.tenant),
                _midnight(now),
                [
                    DaysUsage(
                        each.day,
                        each.user_id,
                        each.model,
                        each.prompt_tokens,
                        each.completion_tokens,
                        each.calls,
                    )
                    for each in rows
                ],
            )

    def _spending(
        self, session: Session, caller: Caller, user_id: str | None, limit: int
    ) -> Spending:
        used = usage.spent(session, caller.tenant_id, self._now().date(), user_id)
        return Spending(used, limit or None)

    def _limits(self, caller: Caller) -> Mapping[str | None, int]:
        """The limits that hold, by the user they are for; None for the whole tenant."""
        both = {caller.user_id: self._allowance.user, None: self._allowance.tenant}
        return {whose: limit for whose, limit in both.items() if limit}

    def _left(self, session: Session, caller: Caller) -> int:
        """How many tokens *caller* may still use today; DailyTokensUsed if none."""
        now = self._now()
        left = []
        for whose, limit in self._limits(caller).items():
            used = usage.spent(session, caller.tenant_id, now.date(), whose)
            free = limit - used - usage.reserved(session, caller.tenant_id, now, whose)
            if free <= 0:
                # Where only runs under way are in the way, waiting for them is enough.
                wait = _midnight(now) - now if used >= limit else timedelta(seconds=15)
                raise DailyTokensUsed("your tenant" if whose is None else "you", limit, wait)
            left.append(free)
        return min(left)

    def _reserve(self, caller: Caller, reservation_id: str) -> int:
        now = self._now()
        with self._database.write(caller.tenant_id) as session:
            usage.alone(session, caller.tenant_id)
            left = self._left(session, caller)
            reservation = Reservation(
                id=reservation_id,
                tenant_id=caller.tenant_id,
                user_id=caller.user_id,
                tokens=min(left, _RESERVED),
                until=now + _LONGEST_RUN,
            )
            usage.reserve(session, reservation, now)
        return left

    def _count(self, caller: Caller, used: Used) -> None:
        with self._database.write(caller.tenant_id) as session:
            usage.alone(session, caller.tenant_id)
            usage.add(
                session,
                Usage(
                    tenant_id=caller.tenant_id,
                    day=self._now().date(),
                    user_id=caller.user_id,
                    model=used.model,
                    prompt_tokens=used.prompt_tokens,
                    completion_tokens=used.completion_tokens,
                    calls=1,
                ),
            )


class Meter:
    """What one run uses; `left` is what it may use, None for no end."""

    def __init__(self, left: int | None, model: str, count: Callable[[Used], None]) -> None:
        self.left = left
        self._model = model
        self._count = count
        self._unpaid = 0

    def see(self, event: Event) -> None:
        """Count what *event* says was used."""
        match event:
            case Text(text):
                self._unpaid += len(text)
            case Used():
                self._unpaid, self._model = 0, event.model
                self._count(event)

    def end(self) -> None:
        """Count by its length what was said by a model that was stopped half-way."""
        if self._unpaid:
            self._count(Used(self._model, 0, math.ceil(self._unpaid / _CHARACTERS_A_TOKEN)))


def _midnight(now: datetime) -> datetime:
    """The end of the day, in UTC."""
    return datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time(), UTC)
