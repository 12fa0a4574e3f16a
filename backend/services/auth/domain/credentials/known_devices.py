"""Tokens that mark a device as one from which the account has signed in.

A known device has its own limit of failed sign-ins. It proves nothing else: signing in still needs
the password.
"""

import hmac
import re
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from backend.security.key_derivation import derive_key

LIFETIME = timedelta(days=180)
_TOKEN = re.compile(r"([0-9a-f]{32})\.(\d{10})\.([0-9a-f]{32})\.([0-9a-f]{64})", re.ASCII)


class KnownDevices:
    """Issue and verify device tokens, which are signed with a key derived from *secret*."""

    def __init__(self, secret: str, now: Callable[[], datetime]) -> None:
        self._key = derive_key(secret, "known-device")
        self._now = now

    def create_token(self, user_id: str) -> str:
        content = f"{user_id}.{int(self._now().timestamp()):010}.{secrets.token_hex(16)}"
        return f"{content}.{self._sign(content)}"

    def get_device_id(self, token: str, user_id: str) -> str | None:
        """Return the id of the device, or None if *token* is not a valid token of the account."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        owner, issued_at, device_id, signature = match.groups()
        content = token.rpartition(".")[0]
        age = self._now().timestamp() - int(issued_at)
        is_valid = (
            hmac.compare_digest(self._sign(content), signature)
            and owner == user_id
            and age < LIFETIME.total_seconds()
        )
        return device_id if is_valid else None

    def _sign(self, content: str) -> str:
        return hmac.digest(self._key, content.encode(), "sha256").hex()
