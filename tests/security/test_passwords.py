"""Password hashes of all supported schemes."""

import bcrypt
import pytest
from argon2 import PasswordHasher

from backend.security.passwords import DUMMY_HASH, hash_password, needs_rehash, verify_password

PASSWORD = "seven small boats"
BCRYPT = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
WEAKER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)


@pytest.mark.parametrize(
    "hashed", [hash_password(PASSWORD), BCRYPT, WEAKER], ids=["current", "bcrypt", "weaker"]
)
def test_verify_password_accepts_only_the_right_password(hashed):
    assert verify_password(PASSWORD, hashed)
    assert not verify_password(PASSWORD + "!", hashed)


@pytest.mark.parametrize(
    "hashed",
    ["", "$2b$broken", "$argon2id$broken", "plain", DUMMY_HASH],
    ids=["empty", "bcrypt", "argon2", "plain", "dummy"],
)
def test_verify_password_rejects_malformed_and_dummy_hashes(hashed):
    assert not verify_password(PASSWORD, hashed)


def test_hash_password_uses_the_owasp_parameters():
    assert hash_password(PASSWORD).startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_bcrypt_compares_the_first_72_bytes():
    longest = "x" * 100
    hashed = bcrypt.hashpw(longest.encode()[:72], bcrypt.gensalt(4)).decode()

    assert verify_password(longest, hashed)


def test_needs_rehash_for_bcrypt_and_weaker_parameters():
    assert needs_rehash(BCRYPT)
    assert needs_rehash(WEAKER)
    assert not needs_rehash(hash_password(PASSWORD))
