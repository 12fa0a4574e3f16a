"""Hash and match passwords: argon2id, and bcrypt for accounts that come from elsewhere."""

import secrets

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# OWASP's password storage figures for argon2id: 19 MiB, two passes, one lane.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_BCRYPT_BYTES = 72

# Matched when nobody has the name, so that an unknown name takes as long to
# refuse as a wrong password. Its password is random and was thrown away.
UNUSABLE = _HASHER.hash(secrets.token_urlsafe())


def hash_password(password: str) -> str:
    """An argon2id hash of *password* in its PHC string form."""
    return _HASHER.hash(password)


def matches(password: str, hashed: str) -> bool:
    """Whether *password* is the one behind *hashed*."""
    if hashed.startswith("$2"):
        try:
            return bcrypt.checkpw(password.encode()[:_BCRYPT_BYTES], hashed.encode())
        except ValueError:
            return False
    try:
        return _HASHER.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


def needs_rehash(hashed: str) -> bool:
    """Whether *hashed* was made by another scheme or with weaker figures than today's."""
    return hashed.startswith("$2") or _HASHER.check_needs_rehash(hashed)
