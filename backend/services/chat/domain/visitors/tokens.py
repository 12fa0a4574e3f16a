"""Signed tokens of visitors, and tickets of frames. They are JSON Web Tokens with HMAC-SHA256."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt

from backend.security.key_derivation import derive_key
from backend.services.chat.errors import VisitorTokenRejected

TOKEN_LIFETIME: Final = timedelta(days=7)
TICKET_LIFETIME: Final = timedelta(days=1)
_ALGORITHM: Final = "HS256"
_MAX_CHARACTERS: Final = 2000
# The times are compared with the clock of the service.
_OPTIONS: Final[Any] = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}


@dataclass(frozen=True, slots=True)
class VisitorClaims:
    """The content of a visitor's token.

    Attributes:
        origin: the site whose page opened the session; "" for the frame page of the suite.
    """

    account_id: str
    visitor_id: str
    origin: str
    expires_at: datetime


class VisitorTokens:
    """Issues and verifies tokens. They are valid for one account and until their expiry.

    Args:
        secret: SECRET_KEY of the suite.
        now: the clock.
    """

    def __init__(self, secret: str, now: Callable[[], datetime]) -> None:
        self._token_key = derive_key(secret, "chat/visitor-tokens")
        self._ticket_key = derive_key(secret, "chat/frame-tickets")
        self._now = now

    def issue_token(self, account_id: str, visitor_id: str, origin: str) -> tuple[str, datetime]:
        """Return a token and the time at which it expires."""
        expires_at = (self._now() + TOKEN_LIFETIME).replace(microsecond=0)
        payload = {
            "account": account_id,
            "visitor": visitor_id,
            "origin": origin,
            "exp": int(expires_at.timestamp()),
        }
        return jwt.encode(payload, self._token_key, _ALGORITHM), expires_at

    def verify_token(self, token: str, account_id: str) -> VisitorClaims:
        """Return the claims of a token of *account_id*.

        Raises:
            VisitorTokenRejected: it is forged, has expired, or belongs to another account.
        """
        claims = self._verify(token, self._token_key, account_id)
        if claims is None:
            raise VisitorTokenRejected
        return VisitorClaims(
            account_id,
            str(claims.get("visitor", "")),
            str(claims.get("origin", "")),
            datetime.fromtimestamp(claims["exp"], UTC),
        )

    def issue_ticket(self, account_id: str) -> str:
        """Return a ticket, which proves that a script has read the frame page of the account."""
        payload = {
            "account": account_id,
            "exp": int((self._now() + TICKET_LIFETIME).timestamp()),
        }
        return jwt.encode(payload, self._ticket_key, _ALGORITHM)

    def is_ticket_valid(self, ticket: str, account_id: str) -> bool:
        return self._verify(ticket, self._ticket_key, account_id) is not None

    def _verify(self, token: str, key: bytes, account_id: str) -> dict[str, Any] | None:
        if len(token) > _MAX_CHARACTERS:
            return None
        try:
            claims: dict[str, Any] = jwt.decode(token, key, [_ALGORITHM], options=_OPTIONS)
        except (jwt.InvalidTokenError, ValueError):
            return None
        expiry = claims.get("exp")
        if claims.get("account") != account_id or not isinstance(expiry, int):
            return None
        return claims if expiry > self._now().timestamp() else None
