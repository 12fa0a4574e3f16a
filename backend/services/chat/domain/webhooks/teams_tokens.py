"""Tokens of the Bot Framework connector (JWT, RS256) in requests of Microsoft Teams.

https://learn.microsoft.com/azure/bot-service/rest-api/bot-framework-rest-connector-authentication
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import jwt

from backend.security.outbound import AllowedHost, OutboundBlocked, OutboundPolicy
from backend.services.chat.clients.teams_keys import SigningKey

ISSUER: Final = "https://api.botframework.com"
_ENDORSEMENT: Final = "msteams"
_MAX_TOKEN_CHARACTERS: Final = 8_192
_LEEWAY_SECONDS: Final = 300
# Hosts to which answers are sent, with the token of the account.
SERVICE_HOSTS: Final = (
    "smba.trafficmanager.net",
    "*.smba.trafficmanager.net",
    "*.botframework.com",
    "*.botframework.us",
    "*.botframework.azure.us",
    "smba.infra.gcc.teams.microsoft.com",
    "smba.infra.gov.teams.microsoft.us",
    "smba.infra.dod.teams.microsoft.us",
)


class KeySource(Protocol):
    """Finds the keys that the Bot Framework publishes."""

    def find_key(self, key_id: str, settings: Mapping[str, Any]) -> SigningKey | None:
        """Return the key, or None if it is unknown or cannot be fetched."""


class TeamsTokens:
    """Verifies the Authorization header of activities.

    Args:
        keys: finds the public keys.
        private_hosts: hosts of the own network that are accepted as service URLs.
        now: the clock.
    """

    def __init__(
        self,
        keys: KeySource,
        private_hosts: Sequence[AllowedHost] = (),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._keys = keys
        self._hosts = OutboundPolicy([AllowedHost.parse(host) for host in SERVICE_HOSTS])
        self._private = OutboundPolicy(private_hosts)
        self._now = now

    def is_valid(self, authorization: str | None, body: bytes, settings: Mapping[str, Any]) -> bool:
        """Return whether the token is the Bot Framework's, for this bot and this activity."""
        scheme, _, token = (authorization or "").partition(" ")
        app_id = settings.get("app_id")
        if scheme.lower() != "bearer" or not token or len(token) > _MAX_TOKEN_CHARACTERS:
            return False
        if not isinstance(app_id, str) or not app_id:
            return False
        activity = _parse_activity(body)
        claims = self._decode(token, app_id, activity, settings)
        if claims is None:
            return False
        service_url = activity.get("serviceUrl")
        claimed = claims.get("serviceurl", claims.get("serviceUrl"))
        return (
            isinstance(service_url, str)
            and claimed == service_url
            and self._is_service_host(service_url)
        )

    def _decode(
        self, token: str, app_id: str, activity: Mapping[str, Any], settings: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            key = self._keys.find_key(key_id, settings) if isinstance(key_id, str) else None
            channel = activity.get("channelId")
            if key is None or channel != _ENDORSEMENT or channel not in key.endorsements:
                return None
            claims: dict[str, Any] = jwt.decode(
                token,
                jwt.PyJWK(dict(key.jwk), "RS256").key,
                algorithms=["RS256"],
                audience=app_id,
                issuer=ISSUER,
                options={
                    "require": ["exp", "iss", "aud"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError):
            return None
        return claims if self._is_current(claims) else None

    def _is_current(self, claims: Mapping[str, Any]) -> bool:
        now = self._now().timestamp()
        expires, starts = claims.get("exp"), claims.get("nbf", 0)
        return (
            isinstance(expires, int | float)
            and isinstance(starts, int | float)
            and starts - _LEEWAY_SECONDS <= now <= expires + _LEEWAY_SECONDS
        )

    def _is_service_host(self, url: str) -> bool:
        for policy, schemes in ((self._hosts, {"https"}), (self._private, {"https", "http"})):
            try:
                policy.check_url(url)
            except OutboundBlocked:
                continue
            return urlsplit(url).scheme in schemes
        return False


def _parse_activity(body: bytes) -> Mapping[str, Any]:
    try:
        activity = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return activity if isinstance(activity, dict) else {}
