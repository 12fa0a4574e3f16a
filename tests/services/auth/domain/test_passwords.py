"""Which passwords are good enough."""

import pytest

from backend.services.auth.domain.passwords import PasswordDesk, PasswordPolicy
from backend.services.auth.errors import TooBusy, WeakPassword

DEVELOPMENT = PasswordPolicy(8, 100_000)
PRODUCTION = PasswordPolicy(12, 100_000_000)


@pytest.mark.parametrize(
    ("policy", "password"),
    [
        pytest.param(DEVELOPMENT, "testpass123", id="the documented example"),
        pytest.param(PRODUCTION, "correct horse battery", id="a few words"),
        pytest.param(PRODUCTION, "9f$Kq2!vLm#7", id="twelve at random"),
    ],
)
def test_these_are_good_enough(policy, password):
    policy.check(password, ["testuser"])


@pytest.mark.parametrize(
    ("policy", "password"),
    [
        pytest.param(DEVELOPMENT, "k9$vL2q", id="seven characters"),
        pytest.param(DEVELOPMENT, "password1234", id="a common one"),
        pytest.param(DEVELOPMENT, "lovelace1", id="the user's own name"),
        pytest.param(PRODUCTION, "testpass123", id="eleven characters"),
        pytest.param(PRODUCTION, "testpass1234", id="easily guessed"),
        pytest.param(PRODUCTION, "abcabcabc" * 14, id="long and repeated"),
    ],
)
def test_these_are_not(policy, password):
    with pytest.raises(WeakPassword):
        policy.check(password, ["lovelace"])


def test_a_place_is_free_again_when_its_holder_leaves_in_anger():
    desk = PasswordDesk(1)
    with pytest.raises(ZeroDivisionError), desk.place():
        raise ZeroDivisionError
    with desk.place(), pytest.raises(TooBusy), desk.place():
        pass
    with desk.place():
        pass


def test_nobody_has_the_password_of_those_who_have_none():
    assert not PasswordDesk(1).matches("", None)
