"""Base64url without padding (RFC 7515, section 2). Only the canonical encoding is accepted."""

import base64
import re

_TEXT = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)


def encode_base64url(content: bytes) -> str:
    """Return *content* as base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decode_base64url(text: str) -> bytes:
    """Decode *text*, which is base64url without padding.

    Raises:
        ValueError: *text* has padding, other characters, or unused bits that are not zero.
    """
    # No sequence of bytes is encoded as 4n + 1 characters.
    if not _TEXT.fullmatch(text) or len(text) % 4 == 1:
        raise ValueError("not base64url without padding")
    content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode_base64url(content) != text:
        raise ValueError("not the canonical base64url text")
    return content


def is_compact_token(token: str) -> bool:
    """Return True if *token* has the three canonical base64url parts of a JWS (RFC 7515)."""
    parts = token.split(".")
    try:
        return len(parts) == 3 and all(decode_base64url(part) for part in parts)
    except ValueError:
        return False
