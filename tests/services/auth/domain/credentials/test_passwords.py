"""Password policy and concurrency limit of password hashing."""

import pytest

from backend.services.auth.domain.credentials.passwords import PasswordHasher, PasswordPolicy
from backend.services.auth.errors import TooBusy, WeakPassword

DEVELOPMENT = PasswordPolicy(8, 100_000)
PRODUCTION = PasswordPolicy(12, 100_000_000)


@pytest.mark.parametrize(
    ("policy", "password"),
    [
        pytest.param(DEVELOPMENT, "testpass123", id="documented example"),
        pytest.param(PRODUCTION, "correct horse battery", id="several words"),
        pytest.param(PRODUCTION, "9f$Kq2!vLm#7", id="twelve random characters"),
    ],
)
def test_policy_accepts_strong_password(policy, password):
    policy.check_password(password, ["testuser"])


@pytest.mark.parametrize(
    ("policy", "password"),
    [
        pytest.param(DEVELOPMENT, "k9$vL2q", id="seven characters"),
        pytest.param(DEVELOPMENT, "password1234", id="common password"),
        pytest.param(DEVELOPMENT, "lovelace1", id="name of the user"),
        pytest.param(PRODUCTION, "testpass123", id="eleven characters"),
        pytest.param(PRODUCTION, "testpass1234", id="easily guessed"),
        pytest.param(PRODUCTION, "abcabcabc" * 14, id="long repetition"),
    ],
)
def test_policy_rejects_weak_password(policy, password):
    with pytest.raises(WeakPassword):
        policy.check_password(password, ["lovelace"])


def test_slot_is_released_after_an_exception():
    hasher = PasswordHasher(1)
    with pytest.raises(ZeroDivisionError), hasher.reserve_slot():
        raise ZeroDivisionError
    with hasher.reserve_slot(), pytest.raises(TooBusy), hasher.reserve_slot():
        pass
    with hasher.reserve_slot():
        pass


def test_account_without_password_matches_no_password():
    assert not PasswordHasher(1).matches_hash("", None)
