"""The keys that sign access tokens, and how one takes over from another.

Each follows from the secret and the number of an epoch. When which epoch begins and
ends stands in the database, ahead of time: so all instances change over together, and
a new key was published long before it signs (docs/operations/key-rotation.md).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from backend.chassis.database.sessions import Database, take_turns
from backend.security.tokens import public_jwk, signing_key
from backend.services.auth.errors import RotationUnderWay
from backend.services.auth.store import signing_keys as store

# Everybody has fetched the published keys anew by then (they do every five minutes).
PUBLISHED_BEFORE = timedelta(minutes=10)
# A token may be believed a little longer than it lives: clocks differ.
_MARGIN = timedelta(seconds=60)
_REREAD_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and what it is published as."""

    private: Ed25519PrivateKey
    published: dict[str, str]

    @property
    def kid(self) -> str:
        return self.published["kid"]


@dataclass(frozen=True, slots=True)
class _Epoch:
    number: int
    signs_from: datetime | None
    retires_at: datetime | None


# Until a first rotation.
_BEGINNING = (_Epoch(0, None, None),)


class SigningKeys:
    """The key in use and those that are published; every instance comes to the same."""

    def __init__(self, secret: str, database: Database, now: Callable[[], datetime]) -> None:
        self._secret = secret
        self._database = database
        self._now = now
        self._epochs: tuple[float, Sequence[_Epoch]] = (0.0, _BEGINNING)

    @property
    def current(self) -> SigningKey:
        now = self._now()
        begun = [e for e in self._known() if e.signs_from is None or e.signs_from <= now]
        return _key(self._secret, begun[-1].number)

    def published(self) -> list[dict[str, str]]:
        """The public keys by which tokens may be verified."""
        return [key.published for key in self._in_force()]

    def find(self, kid: str) -> Ed25519PublicKey | None:
        """The key by which auth itself verifies a token."""
        for key in self._in_force():
            if key.kid == kid:
                return key.private.public_key()
        return None

    def _in_force(self) -> list[SigningKey]:
        now = self._now()
        return [
            _key(self._secret, epoch.number)
            for epoch in self._known()
            if epoch.retires_at is None or epoch.retires_at > now
        ]

    def _known(self) -> Sequence[_Epoch]:
        until, epochs = self._epochs
        if time.monotonic() >= until:
            with self._database.read() as session:
                found = [
                    _Epoch(each.number, each.signs_from, each.retires_at)
                    for each in store.in_order(session)
                ]
            epochs = found or _BEGINNING
            self._epochs = (time.monotonic() + _REREAD_SECONDS, epochs)
        return epochs


def rotate(
    database: Database, now: datetime, published_before: timedelta, token_lifetime: timedelta
) -> datetime:
    """Let another key sign, published from now on; from when it signs, or RotationUnderWay."""
    with database.write() as session:
        take_turns(session, "signing keys")
        epochs = store.in_order(session)
        if not epochs:
            first = store.SigningEpoch(number=0, signs_from=now, retires_at=None)
            store.add(session, first)
            epochs = [first]
        last = epochs[-1]
        if last.signs_from > now:
            raise RotationUnderWay(last.signs_from)
        begins = now + published_before
        last.retires_at = begins + token_lifetime + _MARGIN
        store.add(session, store.SigningEpoch(number=last.number + 1, signs_from=begins))
    return begins


@lru_cache(maxsize=16)
def _key(secret: str, number: int) -> SigningKey:
    private = signing_key(secret, f"access-token/{number}" if number else "access-token")
    return SigningKey(private, public_jwk(private.public_key()))
