"""Hashes match their password alone, whatever scheme made them."""

import bcrypt
import pytest
from argon2 import PasswordHasher

from backend.security.passwords import UNUSABLE, hash_password, matches, needs_rehash

PASSWORD = "seven small boats"
BCRYPT = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
WEAKER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)


@pytest.mark.parametrize(
    "hashed", [hash_password(PASSWORD), BCRYPT, WEAKER], ids=["ours", "bcrypt", "weaker"]
)
def test_the_password_matches_and_another_does_not(hashed):
    assert matches(PASSWORD, hashed)
    assert not matches(PASSWORD + "!", hashed)


@pytest.mark.parametrize(
    "hashed",
    ["", "$2b$broken", "$argon2id$broken", "plain", UNUSABLE],
    ids=["nothing", "bcrypt", "argon2", "plain", "unusable"],
)
def test_what_is_no_hash_of_anybody_matches_nothing(hashed):
    assert not matches(PASSWORD, hashed)


def test_bcrypt_reads_72_bytes_as_those_who_made_the_hash_did():
    longest = "x" * 100
    hashed = bcrypt.hashpw(longest.encode()[:72], bcrypt.gensalt(4)).decode()

    assert matches(longest, hashed)


def test_older_and_weaker_hashes_are_due_for_another():
    assert needs_rehash(BCRYPT)
    assert needs_rehash(WEAKER)
    assert not needs_rehash(hash_password(PASSWORD))
