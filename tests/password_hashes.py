"""Hash passwords with little work where a test is not about their strength."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from argon2 import PasswordHasher

_HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
_DUMMY_HASH = _HASHER.hash("no password of an account")


@contextmanager
def fast_password_hashes() -> Iterator[None]:
    """Use the fast hasher in the block, for new hashes and for names of no account.

    Hashes from outside the block keep their cost: each verification takes 40 ms of CPU time.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("backend.security.passwords._HASHER", _HASHER)
        passwords = "backend.services.auth.domain.credentials.passwords"
        patch.setattr(f"{passwords}.DUMMY_HASH", _DUMMY_HASH)
        yield
