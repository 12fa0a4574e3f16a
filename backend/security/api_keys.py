"""API keys: their form, and their exchange for access tokens at the auth service."""

import hashlib
import time
from collections.abc import Callable
from typing import Final, Protocol

import urllib3

from backend.security.expiring_cache import ExpiringCache
from backend.security.request_ids import request_id
from backend.security.tokens import InvalidToken, KeysUnavailable

API_KEY_PREFIX: Final = "aas_"
# Session ids of tokens that were issued for an API key: this prefix and the id of the key.
API_KEY_SESSION_PREFIX: Final = "key:"
MAX_API_KEY_CHARACTERS: Final = 128
_TOKEN_SECONDS: Final = 30.0
_REJECTION_SECONDS: Final = 2.0
_MAX_TOKENS: Final = 4096
_MAX_REJECTIONS: Final = 4096


class ApiKeyExchange(Protocol):
    """Exchanges an API key for an access token with the permissions of the key."""

    def exchange_key(self, key: str) -> str:
        """Return the access token of *key*.

        Raises:
            InvalidToken: the key is unknown, expired or deleted.
            KeysUnavailable: the auth service does not respond.
        """

    def invalidate_key(self, key: str) -> None:
        """Remove the token of *key* from the cache."""


class RemoteApiKeyExchange:
    """Exchange API keys at the auth service. Tokens are cached for 30 s, rejections for 2 s.

    They are cached apart, so that many invalid keys do not evict the valid ones.
    """

    def __init__(self, auth_url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = f"{auth_url}/api-keys/exchange"
        self._clock = clock
        self._http = urllib3.PoolManager(
            retries=False, timeout=urllib3.Timeout(connect=0.5, read=2.0)
        )
        # Both by the hash of the key.
        self._tokens: ExpiringCache[bytes, str] = ExpiringCache(_MAX_TOKENS, clock)
        self._rejections: ExpiringCache[bytes, bool] = ExpiringCache(_MAX_REJECTIONS, clock)

    def exchange_key(self, key: str) -> str:
        digest = _hash_key(key)
        if self._rejections.get(digest):
            raise _rejected()
        token = self._tokens.get(digest)
        if token is not None:
            return token
        token = self._request_token(key)
        if token is None:
            self._rejections.set(digest, True, self._clock() + _REJECTION_SECONDS)
            raise _rejected()
        self._tokens.set(digest, token, self._clock() + _TOKEN_SECONDS)
        return token

    def invalidate_key(self, key: str) -> None:
        self._tokens.remove(_hash_key(key))

    def _request_token(self, key: str) -> str | None:
        try:
            response = self._http.request(
                "POST", self._url, json={"key": key}, headers={"X-Request-ID": request_id()}
            )
            if response.status == 200:
                return str(response.json()["access_token"])
        except (urllib3.exceptions.HTTPError, ValueError, KeyError) as error:
            raise KeysUnavailable from error
        if response.status in (400, 401, 422):
            return None
        raise KeysUnavailable


def _hash_key(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _rejected() -> InvalidToken:
    return InvalidToken("The API key is unknown, expired or was deleted.")
