"""Keys of the Bot Framework."""

import json
from typing import Any

from backend.services.chat.clients.provider_http import OutcomeUnknown, ProviderResponse, _Headers
from backend.services.chat.clients.teams_keys import TeamsKeys

KEYS_URL = "https://login.botframework.com/keys"


class StubHttp:
    """Serves the documents, or no response while *is_down*."""

    def __init__(self) -> None:
        self.key_ids = ["k1"]
        self.urls: list[str] = []
        self.is_down = False

    def send(self, method: str, url: str, allowed_hosts: Any) -> ProviderResponse:
        self.urls.append(url)
        if self.is_down:
            raise OutcomeUnknown("down")
        keys = [{"kid": key, "kty": "RSA", "endorsements": ["msteams"]} for key in self.key_ids]
        document = {"keys": keys} if url == KEYS_URL else {"jwks_uri": KEYS_URL}
        return ProviderResponse(200, _Headers(()), json.dumps(document).encode())


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


def build_keys() -> tuple[TeamsKeys, StubHttp, Clock]:
    http, clock = StubHttp(), Clock()
    return TeamsKeys(http, clock), http, clock  # type: ignore[arg-type]


def test_keys_are_fetched_once() -> None:
    keys, http, _clock = build_keys()

    for _ in range(3):
        found = keys.find_key("k1", {})
        assert found is not None
        assert found.endorsements == {"msteams"}

    assert len(http.urls) == 2


def test_unknown_key_causes_one_fetch_a_minute() -> None:
    keys, http, clock = build_keys()
    for number in range(20):
        assert keys.find_key(f"forged-{number}", {}) is None
    assert len(http.urls) == 2

    http.key_ids = ["k1", "k2"]
    clock.seconds += 61
    assert keys.find_key("k2", {}) is not None


def test_cached_keys_stay_valid_while_the_documents_are_unavailable() -> None:
    keys, http, clock = build_keys()
    keys.find_key("k1", {})

    http.is_down = True
    clock.seconds += 48 * 3600

    assert keys.find_key("k1", {}) is not None
