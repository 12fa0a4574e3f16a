"""Limits of failed attempts under attack, with a fake clock."""

from datetime import UTC, datetime, timedelta

import pytest

from backend.chassis.database.sessions import open_database
from backend.services.auth.domain.credentials.failed_attempts import AttemptLimiter, AttemptRate
from backend.services.auth.errors import InvalidCredentials, TooBusy, TooManyAttempts
from tests.services.auth.api_user import FakeClock

HOUR = timedelta(hours=1)


@pytest.fixture
def clock():
    return FakeClock(datetime(2026, 1, 1, 12, tzinfo=UTC))


@pytest.fixture
def limiter(database_url, clock):
    database = open_database(database_url, "auth").across_tenants()
    database.migrate("auth")
    yield AttemptLimiter(database, AttemptRate.parse("10 per 5 minutes"), clock.now)
    database.engine.dispose()


def guess(limiter, address, device_id=None):
    """Send a wrong password; return the seconds to wait if it was not checked, else 0."""
    attempt = limiter.limit_sign_in("account", address, device_id)
    with pytest.raises((InvalidCredentials, TooManyAttempts)) as caught, attempt:
        raise InvalidCredentials
    is_checked = caught.type is InvalidCredentials
    return 0 if is_checked else int(caught.value.headers()["Retry-After"])


def test_thousand_addresses_try_at_most_50_guesses_in_an_hour(limiter, clock):
    start, checked = clock.now(), 0
    addresses = [f"10.0.{n // 256}.{n % 256}" for n in range(1000)]
    for address in addresses:
        checked += guess(limiter, address) == 0
    number = 0
    while clock.now() - start < HOUR:
        wait = guess(limiter, addresses[number % 1000])
        checked += wait == 0
        number += 1
        assert wait <= 120, "the delay is bounded, so the account is never locked"
        clock.advance(seconds=wait)

    assert 30 <= checked <= 50
    assert guess(limiter, "198.51.100.1", "known device") == 0


def test_delay_ends_after_an_hour_without_failures(limiter, clock):
    for n in range(30):
        guess(limiter, f"10.0.0.{n}")
    assert guess(limiter, "10.0.1.1") > 0

    clock.advance(hours=1)

    assert [guess(limiter, f"10.0.2.{n}") for n in range(10)] == [0] * 10


def test_unfinished_attempts_count_as_failures(limiter):
    attempts = [limiter.limit_sign_in("account", "10.0.0.1", None) for _ in range(11)]
    for attempt in attempts[:10]:
        attempt.__enter__()

    with pytest.raises(TooManyAttempts):
        attempts[10].__enter__()


def test_attempt_that_was_not_checked_does_not_count(limiter):
    for _ in range(20):
        with pytest.raises(TooBusy), limiter.limit_sign_in("account", "10.0.0.1", None):
            raise TooBusy

    assert [guess(limiter, "10.0.0.1") for _ in range(10)] == [0] * 10


def test_proofs_of_a_session_have_their_own_limit(limiter):
    for _ in range(10):
        with pytest.raises(InvalidCredentials), limiter.limit_proof("a"):
            raise InvalidCredentials

    with pytest.raises(TooManyAttempts), limiter.limit_proof("a"):
        pass
    with limiter.limit_proof("b"):
        pass


@pytest.mark.parametrize("text", ["", "10", "0 per minute", "ten per minute", "5 per 0 minutes"])
def test_invalid_rate_is_rejected(text):
    with pytest.raises(ValueError, match="not a rate"):
        AttemptRate.parse(text)
