"""Access token signing keys and their rotation.

Each key is derived from the secret and the number of an epoch. Start and end of the epochs are
stored in the database in advance, so that all instances switch keys at the same time and a new
key is published long before it signs (docs/operations/key-rotation.md).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from backend.chassis.database.sessions import Database, acquire_transaction_lock
from backend.security.tokens import public_jwk, signing_key
from backend.services.auth.errors import RotationPending
from backend.services.auth.store import signing_keys as store

# Time between publication of a key and its first signature. Services fetch the published keys
# every five minutes.
PUBLISH_LEAD_TIME = timedelta(minutes=10)
# Services may accept a token slightly longer than its lifetime because of clock skew.
_CLOCK_SKEW = timedelta(seconds=60)
_RELOAD_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and its public key as a JWK (RFC 8037)."""

    private_key: Ed25519PrivateKey
    public_jwk: dict[str, str]

    @property
    def kid(self) -> str:
        return self.public_jwk["kid"]


@dataclass(frozen=True, slots=True)
class _Epoch:
    number: int
    signs_from: datetime | None
    retires_at: datetime | None


# Epoch in use until the first rotation.
_INITIAL_EPOCHS = (_Epoch(0, None, None),)


class SigningKeys:
    """The current signing key and the published keys, the same in every instance."""

    def __init__(self, secret: str, database: Database, now: Callable[[], datetime]) -> None:
        self._secret = secret
        self._database = database
        self._now = now
        self._epochs: tuple[float, Sequence[_Epoch]] = (0.0, _INITIAL_EPOCHS)

    @property
    def current_key(self) -> SigningKey:
        """The key that signs now."""
        now = self._now()
        started = [
            epoch
            for epoch in self._load_epochs()
            if epoch.signs_from is None or epoch.signs_from <= now
        ]
        return _derive_key(self._secret, started[-1].number)

    def get_published_keys(self) -> list[dict[str, str]]:
        """Return the public keys (JWK) of all epochs that are not retired."""
        return [key.public_jwk for key in self._get_valid_keys()]

    def find_key(self, kid: str) -> Ed25519PublicKey | None:
        """Return the public key with which auth verifies a token, or None if unknown."""
        for key in self._get_valid_keys():
            if key.kid == kid:
                return key.private_key.public_key()
        return None

    def _get_valid_keys(self) -> list[SigningKey]:
        now = self._now()
        return [
            _derive_key(self._secret, epoch.number)
            for epoch in self._load_epochs()
            if epoch.retires_at is None or epoch.retires_at > now
        ]

    def _load_epochs(self) -> Sequence[_Epoch]:
        reload_at, epochs = self._epochs
        if time.monotonic() >= reload_at:
            with self._database.read() as session:
                rows = store.list_epochs(session)
                stored = [_Epoch(row.number, row.signs_from, row.retires_at) for row in rows]
            epochs = stored or _INITIAL_EPOCHS
            self._epochs = (time.monotonic() + _RELOAD_SECONDS, epochs)
        return epochs


def rotate_signing_key(
    database: Database, now: datetime, lead_time: timedelta, token_lifetime: timedelta
) -> datetime:
    """Publish a new key that starts to sign after *lead_time*.

    Args:
        token_lifetime: the previous key stays published for this long after its last signature.

    Returns:
        The time from which the new key signs.

    Raises:
        RotationPending: a published key does not sign yet.
    """
    with database.write() as session:
        acquire_transaction_lock(session, "signing keys")
        epochs = store.list_epochs(session)
        if not epochs:
            first = store.SigningEpoch(number=0, signs_from=now, retires_at=None)
            store.add_epoch(session, first)
            epochs = [first]
        last = epochs[-1]
        if last.signs_from > now:
            raise RotationPending(last.signs_from)
        signs_from = now + lead_time
        last.retires_at = signs_from + token_lifetime + _CLOCK_SKEW
        store.add_epoch(session, store.SigningEpoch(number=last.number + 1, signs_from=signs_from))
    return signs_from


@lru_cache(maxsize=16)
def _derive_key(secret: str, number: int) -> SigningKey:
    private_key = signing_key(secret, f"access-token/{number}" if number else "access-token")
    return SigningKey(private_key, public_jwk(private_key.public_key()))
