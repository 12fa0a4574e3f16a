"""Whatever is done with the refresh tokens of a session: one line of successors, or the end."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.chassis.database.sessions import open_database
from backend.chassis.encryption import Seal
from backend.security.revocation import LocalRevocations
from backend.services.auth.domain.accounts import Accounts, Newcomer
from backend.services.auth.domain.audit import INSIDE
from backend.services.auth.domain.passwords import PasswordDesk, PasswordPolicy
from backend.services.auth.domain.revocations import Revoker
from backend.services.auth.domain.second_factor import SecondFactor
from backend.services.auth.domain.sessions import REFRESH_GRACE, Sessions
from backend.services.auth.errors import RefreshReused, SessionEnded
from tests.services.auth.people import Clock

ENDED = "ended"
# (which token, counted from the newest; by how many at once) or seconds that go by.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 3), st.sampled_from([1, 1, 1, 2, 4])),
        st.integers(1, 12).map(float),
    ),
    max_size=12,
)


@dataclass
class Family:
    """What ought to happen: tokens in the order in which they came, and when each was spent."""

    spent_at: list[datetime | None] = field(default_factory=lambda: [None])
    over: bool = False

    def use(self, index: int, now: datetime) -> int | str:
        """The index of the token that comes back, or that it is over."""
        if self.over:
            return ENDED
        spent = self.spent_at[index]
        if spent is None:
            self.spent_at[index] = now
            self.spent_at.append(None)
        elif now - spent >= REFRESH_GRACE or self.spent_at[index + 1] is not None:
            self.over = True
            return ENDED
        return index + 1


@pytest.fixture(scope="module", params=["sqlite", pytest.param("pg", marks=pytest.mark.postgres)])
def service(request, tmp_path_factory) -> Iterator[tuple[Sessions, Clock, str]]:
    clock = Clock(datetime(2026, 1, 1, tzinfo=UTC))
    url = (
        f"sqlite:///{tmp_path_factory.mktemp('family') / 'auth.db'}"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres").database()
    )
    database = open_database(url, "auth").across_tenants()
    database.migrate("auth")
    desk = PasswordDesk(16)
    revoker = Revoker(database, LocalRevocations(), timedelta(minutes=10), clock.now)
    accounts = Accounts(database, desk, PasswordPolicy(1, 1), clock.now)
    user_id = accounts.register(Newcomer("ada", "seven small boats"), INSIDE)
    yield _sessions(database, desk, revoker, clock), clock, user_id
    database.engine.dispose()


def _sessions(database, desk, revoker, clock) -> Sessions:
    factor = SecondFactor(database, desk, Seal("a secret of the tests", "totp"), clock.now)
    return Sessions(database, desk, revoker, factor, timedelta(days=30), clock.now)


def refreshed(sessions: Sessions, token: str) -> str:
    try:
        return sessions.refresh(token, INSIDE).refresh_token
    except (RefreshReused, SessionEnded):
        return ENDED


@given(steps=STEPS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_family_goes_on_in_one_line_or_is_over(service, steps):
    sessions, clock, user_id = service
    family, tokens = Family(), [sessions.open(user_id, "test", INSIDE).refresh_token]

    for step in steps:
        if isinstance(step, float):
            clock.pass_by(seconds=step)
            continue
        back, at_once = step
        index = max(0, len(tokens) - 1 - back)
        expected = {family.use(index, clock.now()) for _ in range(at_once)}
        with ThreadPoolExecutor(at_once) as threads:
            answers = set(threads.map(lambda t: refreshed(sessions, t), [tokens[index]] * at_once))
        (outcome,) = expected
        if outcome == ENDED:
            assert answers == {ENDED}
            continue
        (token,) = answers
        if outcome == len(tokens):
            assert token not in tokens
            tokens.append(token)
        assert tokens[outcome] == token

    if family.over:
        assert {refreshed(sessions, token) for token in tokens} == {ENDED}
