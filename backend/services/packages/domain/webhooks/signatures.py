"""Verification of webhook signatures.

EasyPost: `X-Hmac-Signature: hmac-sha256-hex=…` over the body, the secret normalised with NFKD.
AfterShip: `aftership-hmac-sha256`, base64, over the body (not confirmed with the provider).
Others: https://www.standardwebhooks.com
"""

import base64
import binascii
import hashlib
import hmac
import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

SOURCES: Final = ("easypost", "aftership", "standard")
_TOLERANCE: Final = timedelta(minutes=5)
_MAX_SIGNATURES: Final = 10
_STANDARD_PREFIX: Final = "whsec_"


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
            return _is_standard_signed(secret, headers, body, now)
        case _:
            return False


def get_delivery_key(source: str, headers: Mapping[str, str], body: bytes) -> str:
    """Return the provider's id of the delivery, or a digest of the body."""
    if source == "standard" and (message_id := headers.get("Webhook-Id", "")):
        return f"id:{message_id[:200]}"
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def decode_standard_secret(secret: str) -> bytes:
    """Return the key of a Standard Webhooks secret, such as `whsec_MfKQ9r8G…`.

    Raises:
        ValueError: the secret is not base64.
    """
    try:
        return base64.b64decode(secret.removeprefix(_STANDARD_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("A secret of Standard Webhooks is base64, such as whsec_MfKQ….") from error


def _is_standard_signed(
    secret: str, headers: Mapping[str, str], body: bytes, now: datetime
) -> bool:
    message_id, timestamp = headers.get("Webhook-Id", ""), headers.get("Webhook-Timestamp", "")
    if not message_id or not timestamp.isascii() or not timestamp.isdigit():
        return False
    if len(timestamp) > 12 or abs(int(timestamp) - now.timestamp()) > _TOLERANCE.total_seconds():
        return False
    content = f"{message_id}.{timestamp}.".encode() + body
    expected = f"v1,{_sign(decode_standard_secret(secret), content)}"
    signatures = headers.get("Webhook-Signature", "").split(" ")[:_MAX_SIGNATURES]
    # All are compared, so that the duration does not depend on the position.
    return sum(_equal(signature, expected) for signature in signatures) > 0


def _sign(key: bytes, content: bytes) -> str:
    return base64.b64encode(hmac.digest(key, content, "sha256")).decode()


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())
