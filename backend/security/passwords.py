"""Password hashing: argon2id; bcrypt hashes of imported accounts can be verified."""

import secrets

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# Parameters for argon2id of the OWASP Password Storage Cheat Sheet: 19 MiB, 2 passes, 1 lane.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_BCRYPT_BYTES = 72

# The password is verified against this hash if the user name is unknown, so that the rejection
# takes as long as for a wrong password. It is the hash of a random password that is not stored.
DUMMY_HASH = _HASHER.hash(secrets.token_urlsafe())


def hash_password(password: str) -> str:
    """Return an argon2id hash of *password* as a PHC string."""
    return _HASHER.hash(password)


def verify_password(password: str, hashed: str) -> bool:
    """Return whether *hashed* (argon2id PHC string or bcrypt) is a hash of *password*."""
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
    """Return whether *hashed* uses another scheme or weaker parameters than new hashes."""
    return hashed.startswith("$2") or _HASHER.check_needs_rehash(hashed)
