"""Property test of refresh token rotation: a single line of successors, or an ended session."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.chassis.database.sessions import open_database
from backend.chassis.encryption import Encryptor
from backend.security.revocation import LocalRevocations
from backend.services.auth.domain.accounts import AccountService, Registration
from backend.services.auth.domain.audit import INTERNAL_ORIGIN
from backend.services.auth.domain.credentials.email_changes import EmailChanges
from backend.services.auth.domain.credentials.failed_attempts import AttemptLimiter, AttemptRate
from backend.services.auth.domain.credentials.known_devices import KnownDevices
from backend.services.auth.domain.credentials.passwords import PasswordHasher, PasswordPolicy
from backend.services.auth.domain.credentials.second_factor import SecondFactorService
from backend.services.auth.domain.outgoing_mails import OutgoingMails
from backend.services.auth.domain.revocations import RevocationPublisher
from backend.services.auth.domain.sessions import REFRESH_GRACE, SessionService
from backend.services.auth.errors import RefreshReused, SessionEnded
from tests.services.auth.api_user import FakeClock

ENDED = "ended"
# A step is (token counted from the newest, number of concurrent requests) or elapsed seconds.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 3), st.sampled_from([1, 1, 1, 2, 4])),
        st.integers(1, 12).map(float),
    ),
    max_size=12,
)


@dataclass
class TokenFamilyModel:
    """Expected state of a token family: the time at which each token was consumed, in order."""

    consumed_at: list[datetime | None] = field(default_factory=lambda: [None])
    is_ended: bool = False

    def refresh(self, index: int, now: datetime) -> int | str:
        """Return the index of the expected successor, or ENDED."""
        if self.is_ended:
            return ENDED
        consumed_at = self.consumed_at[index]
        if consumed_at is None:
            self.consumed_at[index] = now
            self.consumed_at.append(None)
        elif now - consumed_at >= REFRESH_GRACE or self.consumed_at[index + 1] is not None:
            self.is_ended = True
            return ENDED
        return index + 1


@pytest.fixture(
    scope="module",
    params=["sqlite", pytest.param("pg", marks=[pytest.mark.postgres, pytest.mark.slow])],
)
def service(request, tmp_path_factory) -> Iterator[tuple[SessionService, FakeClock, str]]:
    clock = FakeClock(datetime(2026, 1, 1, tzinfo=UTC))
    url = (
        f"sqlite:///{tmp_path_factory.mktemp('family') / 'auth.db'}"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres").database()
    )
    database = open_database(url, "auth").across_tenants()
    database.migrate("auth")
    hasher = PasswordHasher(16)
    publisher = RevocationPublisher(database, LocalRevocations(), timedelta(minutes=10), clock.now)
    secret = "a secret of the tests"
    mails = OutgoingMails(database, None, Encryptor(secret, "mails"), clock.now)
    limiter = AttemptLimiter(database, AttemptRate.parse("10 per 5 minutes"), clock.now)
    email_changes = EmailChanges(database, mails, limiter, "http://localhost", clock.now)
    accounts = AccountService(database, hasher, PasswordPolicy(1, 1), email_changes, clock.now)
    user_id = accounts.register_account(Registration("ada", "seven small boats"), INTERNAL_ORIGIN)
    yield _create_session_service(database, hasher, publisher, clock), clock, user_id
    database.engine.dispose()


def _create_session_service(database, hasher, publisher, clock) -> SessionService:
    secret = "a secret of the tests"
    limiter = AttemptLimiter(database, AttemptRate.parse("10 per 5 minutes"), clock.now)
    second_factor = SecondFactorService(
        database, hasher, limiter, Encryptor(secret, "totp"), clock.now
    )
    return SessionService(
        database,
        hasher,
        publisher,
        second_factor,
        limiter,
        KnownDevices(secret, clock.now),
        timedelta(days=30),
        clock.now,
    )


def refresh(sessions: SessionService, token: str) -> str:
    """Return the successor of *token*, or ENDED."""
    try:
        return sessions.refresh_session(token, INTERNAL_ORIGIN).refresh_token
    except (RefreshReused, SessionEnded):
        return ENDED


@pytest.mark.slow
@given(steps=STEPS)
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
def test_token_family_has_one_line_of_successors_until_the_session_ends(service, steps):
    sessions, clock, user_id = service
    model = TokenFamilyModel()
    tokens = [sessions.open_session(user_id, "test", INTERNAL_ORIGIN).refresh_token]

    for step in steps:
        if isinstance(step, float):
            clock.advance(seconds=step)
            continue
        age, concurrency = step
        index = max(0, len(tokens) - 1 - age)
        expected_results = {model.refresh(index, clock.now()) for _ in range(concurrency)}
        with ThreadPoolExecutor(concurrency) as threads:
            requests = [tokens[index]] * concurrency
            results = set(threads.map(lambda token: refresh(sessions, token), requests))
        (expected,) = expected_results
        if expected == ENDED:
            assert results == {ENDED}
            continue
        (successor,) = results
        if expected == len(tokens):
            assert successor not in tokens
            tokens.append(successor)
        assert tokens[expected] == successor

    if model.is_ended:
        assert {refresh(sessions, token) for token in tokens} == {ENDED}
