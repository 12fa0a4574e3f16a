"""Limits of failed sign-ins and proofs.

Each account has a counter for all addresses, which slows down an attacker with many addresses. It
delays attempts but never locks the account. Known devices and sessions have counters of their own
instead, so that failures of other clients do not delay the owner.

The counters are in the database: they are the same for all processes and survive restarts.
"""

import hashlib
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, Self

from backend.chassis.database.sessions import Database, acquire_transaction_lock
from backend.services.auth.errors import (
    InvalidCredentials,
    InvalidTotp,
    TooManyAttempts,
    TotpCodeRejected,
)
from backend.services.auth.store.credentials import failed_attempts as store

# Free attempts of a known device or a session.
_OWN_ATTEMPTS = 10
_OWN_PERIOD = timedelta(minutes=30)
# An account whose free attempts are used up accepts the next one after 2, 4, 8 … seconds, at most
# after this time: with 10 free attempts that is 45 in the first hour and 30 in each later one.
_MAX_DELAY_SECONDS = 120
_ACCOUNT_QUIET_PERIOD = timedelta(hours=1)
_FAILURES = (InvalidCredentials, InvalidTotp, TotpCodeRejected)
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_RATE = re.compile(r"([1-9]\d{0,5}) per (?:([1-9]\d{0,3}) )?(second|minute|hour|day)s?", re.ASCII)


@dataclass(frozen=True, slots=True)
class AttemptRate:
    """A number of failed attempts in a period."""

    amount: int
    period: timedelta

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a rate such as `10 per 5 minutes`. Raises ValueError if *text* is not a rate."""
        match = _RATE.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is not a rate. Write for example: 10 per 5 minutes.")
        amount, count, unit = match.groups()
        return cls(int(amount), timedelta(seconds=int(count or 1) * _SECONDS[unit]))


# Limit on changes of one account's e-mail address, by its owner or by an administrator.
_EMAIL_CHANGES = AttemptRate(5, timedelta(hours=1))
# Limits on invitations of one tenant, and of one tenant to the same address.
_INVITATIONS = AttemptRate(100, timedelta(hours=1))
_INVITATIONS_OF_ADDRESS = AttemptRate(5, timedelta(hours=1))


class _Limit(Protocol):
    @property
    def resets_on_success(self) -> bool:
        """True if a success deletes the counted failures."""

    def get_end(self, failures: int, first_at: datetime, last_at: datetime) -> datetime | None:
        """Return the time from which the next attempt is accepted; None if it is now."""

    def is_outdated(self, first_at: datetime, last_at: datetime, now: datetime) -> bool:
        """Return True if the failures no longer count."""


@dataclass(frozen=True, slots=True)
class _PeriodLimit:
    """Limit of failures within a period. Later attempts are rejected until the period ends."""

    rate: AttemptRate
    resets_on_success: bool = True

    def get_end(self, failures: int, first_at: datetime, last_at: datetime) -> datetime | None:
        del last_at
        return first_at + self.rate.period if failures >= self.rate.amount else None

    def is_outdated(self, first_at: datetime, last_at: datetime, now: datetime) -> bool:
        del last_at
        return now >= first_at + self.rate.period


@dataclass(frozen=True, slots=True)
class _DelayLimit:
    """Limit of failures without a delay. Afterwards the delay doubles with each failure."""

    free_failures: int
    # Success does not reset the count: each sign-in of the owner would give an attacker further
    # attempts without a delay.
    resets_on_success: bool = False

    def get_end(self, failures: int, first_at: datetime, last_at: datetime) -> datetime | None:
        del first_at
        excess = failures - self.free_failures
        if excess < 0:
            return None
        return last_at + timedelta(seconds=min(2 ** min(excess + 1, 10), _MAX_DELAY_SECONDS))

    def is_outdated(self, first_at: datetime, last_at: datetime, now: datetime) -> bool:
        del first_at
        return now >= last_at + _ACCOUNT_QUIET_PERIOD


@dataclass(frozen=True, slots=True)
class _Counter:
    digest: str
    limit: _Limit


@dataclass(frozen=True, slots=True)
class _CountedAttempt:
    """An attempt that was counted as a failure in advance."""

    counter: _Counter
    at: datetime
    previous_at: datetime


class AttemptLimiter:
    """Limit failed sign-ins and proofs.

    Args:
        rate: failures of one account at one network.
    """

    def __init__(self, database: Database, rate: AttemptRate, now: Callable[[], datetime]) -> None:
        self._database = database
        self._rate = rate
        self._retention = max(rate.period, _OWN_PERIOD, _ACCOUNT_QUIET_PERIOD)
        self._now = now

    @contextmanager
    def limit_sign_in(self, account: str, network: str, device_id: str | None) -> Iterator[None]:
        """Limit the attempts of the block. Wrong credentials or a wrong code count as a failure.

        Args:
            account: subject of the account, the same for all spellings of its name.
            network: IPv4 address or IPv6 /64 network of the client.
            device_id: a known device of the account, which has its own limit.

        Raises:
            TooManyAttempts: the limit is exceeded; the block does not run.
        """
        if device_id is not None:
            counters = [self._create_own_counter("device", account, device_id)]
        else:
            counters = [
                _create_counter(_PeriodLimit(self._rate), "account", account, network),
                _create_counter(_DelayLimit(self._rate.amount), "account", account),
            ]
        with self._count_failure(counters):
            yield

    @contextmanager
    def limit_proof(self, session_id: str) -> Iterator[None]:
        """Limit the attempts of the block, which checks a password or code within a session.

        A stolen access token must not allow guessing the password without limit.

        Raises:
            TooManyAttempts: the limit is exceeded; the block does not run.
        """
        with self._count_failure([self._create_own_counter("session", session_id)]):
            yield

    def count_email_change(self, user_id: str) -> None:
        """Count a change of the e-mail address.

        Each change sends a mail to an address that the caller chooses. Call this outside of a
        transaction.

        Raises:
            TooManyAttempts: the account has used up its changes.
        """
        self._reserve([_create_counter(_PeriodLimit(_EMAIL_CHANGES), "email-change", user_id)])

    def count_invitation(self, tenant_id: str, email_key: str) -> None:
        """Count an invitation, which sends a mail. Call this outside of a transaction.

        Raises:
            TooManyAttempts: the tenant has used up its invitations, in all or to the address.
        """
        self._reserve(
            [
                _create_counter(_PeriodLimit(_INVITATIONS), "invitation", tenant_id),
                _create_counter(
                    _PeriodLimit(_INVITATIONS_OF_ADDRESS), "invitation", tenant_id, email_key
                ),
            ]
        )

    def _create_own_counter(self, *subject: str) -> _Counter:
        amount = min(self._rate.amount, _OWN_ATTEMPTS)
        return _create_counter(_PeriodLimit(AttemptRate(amount, _OWN_PERIOD)), *subject)

    @contextmanager
    def _count_failure(self, counters: Sequence[_Counter]) -> Iterator[None]:
        # Count before the attempt: concurrent guesses must not all pass the check first.
        attempts = self._reserve(counters)
        try:
            yield
        except _FAILURES:
            raise
        except BaseException:
            self._release(attempts, is_success=False)
            raise
        self._release(attempts, is_success=True)

    def _reserve(self, counters: Sequence[_Counter]) -> list[_CountedAttempt]:
        attempts = []
        with self._database.write() as session:
            for counter in sorted(counters, key=lambda item: item.digest):
                acquire_transaction_lock(session, counter.digest)
            # Read the clock after locking: no attempt that was counted before is later than this
            # time.
            now = self._now()
            store.delete_counters_unused_since(session, now - self._retention)
            rows = [
                (counter, store.get_counter_for_update(session, counter.digest))
                for counter in counters
            ]
            ends = [now]
            for counter, row in rows:
                if row is None:
                    continue
                # Stored times after *now* were written before the clock was set back.
                row.first_at, row.last_at = min(row.first_at, now), min(row.last_at, now)
                if counter.limit.is_outdated(row.first_at, row.last_at, now):
                    row.failures, row.first_at = 0, now
                elif end := counter.limit.get_end(row.failures, row.first_at, row.last_at):
                    ends.append(end)
            if (wait := max(ends) - now) > timedelta(0):
                raise TooManyAttempts(max(1, math.ceil(wait.total_seconds())))
            for counter, row in rows:
                attempts.append(_CountedAttempt(counter, now, row.last_at if row else now))
                if row is None:
                    store.add_counter(session, counter.digest, now)
                else:
                    row.failures, row.last_at = row.failures + 1, now
        return attempts

    def _release(self, attempts: Sequence[_CountedAttempt], *, is_success: bool) -> None:
        with self._database.write() as session:
            for attempt in sorted(attempts, key=lambda item: item.counter.digest):
                digest = attempt.counter.digest
                acquire_transaction_lock(session, digest)
                if is_success and attempt.counter.limit.resets_on_success:
                    store.delete_counter(session, digest)
                else:
                    store.withdraw_failure(session, digest, attempt.at, attempt.previous_at)


def _create_counter(limit: _Limit, *subject: str) -> _Counter:
    return _Counter(hashlib.sha256("\0".join(subject).encode()).hexdigest(), limit)
