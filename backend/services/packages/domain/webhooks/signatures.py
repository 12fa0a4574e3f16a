"""Verification of webhook signatures.

EasyPost: `X-Hmac-Signature: hmac-sha256-hex=…` over the body, the secret normalised with NFKD.
AfterShip: `aftership-hmac-sha256`, base64, over the body (not confirmed with the provider).
Others: https://www.standardwebhooks.com
"""

import base64
import hashlib
import hmac
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from backend.security.standard_webhooks import verify_webhook

SOURCES: Final = ("easypost", "aftership", "standard")


def is_signed(
    source: str, secret: str, headers: Mapping[str, str], body: bytes, now: datetime
) -> bool:
    """Return True if *body* was signed with *secret*, in the way of *source*."""
    match source:
        case "easypost":
            key = unicodedata.normalize("NFKD", secret).encode()
            expected = f"hmac-sha256-hex={hmac.digest(key, body, 'sha256').hex()}"
            return _equal(headers.get("X-Hmac-Signature", ""), expected)
        case "aftership":
            return _equal(headers.get("Aftership-Hmac-Sha256", ""), _sign(secret.encode(), body))
        case "standard":
            return verify_webhook(
                [secret],
                headers.get("Webhook-Id"),
                headers.get("Webhook-Timestamp"),
                headers.get("Webhook-Signature"),
                body,
                now.timestamp(),
            )
        case _:
            return False


def get_delivery_key(source: str, headers: Mapping[str, str], body: bytes) -> str:
    """Return the provider's id of the delivery, or a digest of the body."""
    if source == "standard" and (message_id := headers.get("Webhook-Id", "")):
        return f"id:{message_id[:200]}"
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def _sign(key: bytes, content: bytes) -> str:
    return base64.b64encode(hmac.digest(key, content, "sha256")).decode()


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())
