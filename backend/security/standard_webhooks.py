"""Signatures of Standard Webhooks 1.0 (https://www.standardwebhooks.com), also sent by Svix.

Malformed input is not valid, all comparisons take constant time, and nothing raises, except for a
secret that is not base64.
"""

import base64
import binascii
import hmac
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

MAX_AGE_SECONDS: Final = 300
_SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the prefix of all secrets
_MAX_SIGNATURES: Final = 16
_MAX_TIMESTAMP_DIGITS: Final = 12


def decode_secret(secret: str) -> bytes:
    """Return the key of *secret*, which is base64 with or without the prefix `whsec_`.

    Raises:
        ValueError: the secret is empty or not base64.
    """
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ValueError("A secret of Standard Webhooks is base64, such as whsec_MfKQ….")
    return key


def sign_webhook(key: bytes, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """Return the headers that sign *body*.

    Args:
        key: the decoded secret.
        message_id: the same for all repetitions of the webhook.
    """
    timestamp = str(int(at.timestamp()))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": _sign(key, message_id, timestamp, body),
    }


def verify_webhook(
    secrets: Iterable[str],
    message_id: str | None,
    timestamp: str | None,
    signatures: str | None,
    body: bytes,
    now: float,
) -> bool:
    """Return True if one of *secrets* has signed the webhook at most 300 s before or after *now*.

    Secrets that are not base64 are left out.

    Args:
        message_id: value of the header `webhook-id` or `svix-id`.
        timestamp: value of `webhook-timestamp` or `svix-timestamp`.
        signatures: value of `webhook-signature` or `svix-signature`.
        now: seconds since the epoch.
    """
    if not message_id or not signatures or timestamp is None or not _is_recent(timestamp, now):
        return False
    expected = [_encode(_sign(key, message_id, timestamp, body)) for key in _decode_keys(secrets)]
    is_valid = False
    # All are compared, so that the time does not depend on which one matches.
    for signature in signatures.split(" ")[:_MAX_SIGNATURES]:
        for value in expected:
            is_valid |= hmac.compare_digest(_encode(signature), value)
    return is_valid


def _decode_keys(secrets: Iterable[str]) -> Iterator[bytes]:
    for secret in secrets:
        try:
            yield decode_secret(secret)
        except ValueError:
            continue


def _is_recent(timestamp: str, now: float) -> bool:
    is_number = timestamp.isascii() and timestamp.isdigit()
    return (
        is_number
        and len(timestamp) <= _MAX_TIMESTAMP_DIGITS
        and abs(now - int(timestamp)) <= MAX_AGE_SECONDS
    )


def _sign(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    signed = _encode(message_id) + b"." + timestamp.encode() + b"." + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
