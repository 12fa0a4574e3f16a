"""The public keys of the Bot Framework, cached in memory."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from backend.services.chat.clients.provider_http import (
    OutcomeUnknown,
    ProviderHttp,
    RequestNotSent,
)

_METADATA_URL: Final = "https://login.botframework.com/v1/.well-known/openidconfiguration"
_HOSTS: Final = ("login.botframework.com", "login.botframework.azure.us")
_LIFETIME_SECONDS: Final = 24 * 3600
# An unknown key id causes at most one request in this time, so forged tokens do not cause one each.
_RETRY_SECONDS: Final = 60
_MAX_KEYS: Final = 100
_MAX_SOURCES: Final = 16


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key of the Bot Framework and the channels that it endorses."""

    jwk: Mapping[str, Any]
    endorsements: frozenset[str]


class _KeySet:
    def __init__(self) -> None:
        self.keys: dict[str, SigningKey] = {}
        self.fetched_at = -float("inf")
        self.tried_at = -float("inf")


class TeamsKeys:
    """Keys by the metadata URL, which the account's setting `openid_url` can replace.

    Args:
        http: fetches the documents; a URL within the own network must be allowed there.
        clock: returns monotonic seconds.
    """

    def __init__(self, http: ProviderHttp, clock: Callable[[], float] = time.monotonic) -> None:
        self._http = http
        self._clock = clock
        self._sets: dict[str, _KeySet] = {}
        self._lock = threading.Lock()

    def find_key(self, key_id: str, settings: Mapping[str, Any]) -> SigningKey | None:
        """Return the key. While the documents are unavailable, cached keys stay valid."""
        url = str(settings.get("openid_url") or _METADATA_URL)
        with self._lock:
            if url not in self._sets and len(self._sets) >= _MAX_SOURCES:
                self._sets.clear()
            key_set = self._sets.setdefault(url, _KeySet())
            if self._needs_fetch(key_set, key_id):
                key_set.tried_at = self._clock()
                keys = self._fetch_keys(url)
                if keys:
                    key_set.keys, key_set.fetched_at = keys, self._clock()
            return key_set.keys.get(key_id)

    def _needs_fetch(self, key_set: _KeySet, key_id: str) -> bool:
        now = self._clock()
        is_old = now - key_set.fetched_at > _LIFETIME_SECONDS
        return (is_old or key_id not in key_set.keys) and now - key_set.tried_at > _RETRY_SECONDS

    def _fetch_keys(self, url: str) -> dict[str, SigningKey]:
        try:
            jwks_url = self._http.send("GET", url, _HOSTS).json.get("jwks_uri")
            document = self._http.send("GET", str(jwks_url), _HOSTS).json
        except (RequestNotSent, OutcomeUnknown):
            return {}
        entries = document.get("keys")
        keys = (
            [entry for entry in entries if isinstance(entry, dict)]
            if isinstance(entries, list)
            else []
        )
        return {
            str(entry.get("kid")): SigningKey(entry, _get_endorsements(entry))
            for entry in keys[:_MAX_KEYS]
        }


def _get_endorsements(entry: Mapping[str, Any]) -> frozenset[str]:
    endorsements = entry.get("endorsements")
    return frozenset(map(str, endorsements)) if isinstance(endorsements, list) else frozenset()
