"""Public keys that verify Clerk's session tokens: a configured key, or the downloaded key set."""

import base64
import binascii
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeGuard

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from backend.services.auth.clients.clerk.http import PROVIDER, ClerkHttp
from backend.services.auth.errors import ProviderUnavailable

ALGORITHM: Final = "RS256"
_MIN_RSA_BITS: Final = 2048
_MAX_RSA_BITS: Final = 8192
_MAX_KEYS: Final = 20
_REFRESH_SECONDS: Final = 300.0
# Minimum time between downloads: made-up key ids must not cost one each.
_PAUSE_SECONDS: Final = 10.0
# Without any key, every token fails, so the next attempt is earlier.
_PAUSE_WITHOUT_KEYS_SECONDS: Final = 2.0
# While Clerk does not respond, the last keys stay valid for this long.
_MAX_AGE_SECONDS: Final = 24 * 60 * 60.0
# How long a request waits for the download that another one has started.
_WAIT_SECONDS: Final = 4.0
_PEM_LINE: Final = re.compile(r"-----(?:BEGIN|END) (?:RSA )?PUBLIC KEY-----|\\[nr]|\s")
_log = logging.getLogger(__name__)


class KeySource(Protocol):
    """Source of public keys."""

    def find_key(self, kid: str | None) -> RSAPublicKey | None:
        """Return the key with the id *kid*, or None if there is none.

        Raises:
            ProviderUnavailable: the keys cannot be loaded.
        """


class ConfiguredKey:
    """The one key that the operator has configured. Key ids of tokens are ignored."""

    def __init__(self, key: RSAPublicKey) -> None:
        self._key = key

    def find_key(self, kid: str | None) -> RSAPublicKey | None:  # noqa: ARG002
        return self._key


class DownloadedKeys:
    """The keys of a JSON Web Key Set, cached for five minutes. Instances are thread-safe.

    For an unknown key id the set is downloaded again, at most once in ten seconds. While Clerk does
    not respond, the cached keys stay valid for a day, and an unknown one may be a new one of Clerk.

    Args:
        clock: returns monotonic seconds.
    """

    def __init__(
        self, http: ClerkHttp, path: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._http = http
        self._path = path
        self._clock = clock
        self._download_lock = threading.Lock()
        self._keys: Mapping[str, RSAPublicKey] = {}
        self._has_failed = False
        self._refresh_at = self._valid_until = self._next_download_at = float("-inf")

    def find_key(self, kid: str | None) -> RSAPublicKey | None:
        now = self._clock()
        if kid not in self._keys or now >= self._valid_until:
            self._refresh(_WAIT_SECONDS)
        elif now >= max(self._refresh_at, self._next_download_at):
            # Requests do not wait for a key that they have.
            threading.Thread(target=self._refresh, args=(0.0,), name="clerk", daemon=True).start()
        if not self._keys or self._clock() >= self._valid_until:
            raise ProviderUnavailable(PROVIDER)
        key = self._keys.get(kid) if kid is not None else None
        if key is None and kid is not None and self._has_failed:
            raise ProviderUnavailable(PROVIDER)
        return key

    def _refresh(self, wait_seconds: float) -> None:
        """Download the keys unless this was tried a moment ago.

        Args:
            wait_seconds: how long to wait for the download of another request.
        """
        if not self._download_lock.acquire(timeout=wait_seconds):
            return
        try:
            now = self._clock()
            if now < self._next_download_at:
                return
            pause = _PAUSE_SECONDS if self._keys else _PAUSE_WITHOUT_KEYS_SECONDS
            self._next_download_at = now + pause
            try:
                self._keys = self._download()
            except ProviderUnavailable:
                _log.warning("the keys of Clerk cannot be loaded")
                self._has_failed = True
                return
            self._has_failed = False
            self._refresh_at = now + _REFRESH_SECONDS
            self._valid_until = now + _MAX_AGE_SECONDS
            self._next_download_at = now + _PAUSE_SECONDS
        finally:
            self._download_lock.release()

    def _download(self) -> Mapping[str, RSAPublicKey]:
        status, document = self._http.get_json(self._path)
        entries = document.get("keys") if status == 200 else None
        keys = {}
        for entry in entries[:_MAX_KEYS] if isinstance(entries, list) else ():
            key = _parse_jwk(entry)
            if key is not None:
                keys[str(entry["kid"])] = key
        if not keys:
            raise ProviderUnavailable(PROVIDER)
        return keys


def parse_public_key(text: str) -> RSAPublicKey:
    """Return the RSA key of a PEM text, also if its line breaks are missing or written as `\\n`.

    Raises:
        ValueError: *text* is not a public RSA key of 2048 to 8192 bits.
    """
    try:
        key = load_der_public_key(base64.b64decode(_PEM_LINE.sub("", text), validate=True))
    except (binascii.Error, ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("It is not a public key in PEM format.") from error
    if not _is_acceptable(key):
        raise ValueError(f"It is not an RSA key of {_MIN_RSA_BITS} to {_MAX_RSA_BITS} bits.")
    return key


def _parse_jwk(entry: Any) -> RSAPublicKey | None:
    """Return the key of an entry of a key set, or None if it cannot verify session tokens."""
    if (
        not isinstance(entry, dict)
        or not isinstance(entry.get("kid"), str)
        or entry.get("kty") != "RSA"
        or entry.get("use", "sig") != "sig"
        or entry.get("alg", ALGORITHM) != ALGORITHM
        or "d" in entry
    ):
        return None
    try:
        key = jwt.PyJWK.from_dict(entry, algorithm=ALGORITHM).key
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
        return None
    return key if _is_acceptable(key) else None


def _is_acceptable(key: object) -> TypeGuard[RSAPublicKey]:
    return isinstance(key, RSAPublicKey) and _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS
