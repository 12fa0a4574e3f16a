"""Derivation of keys for different purposes from one secret."""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def derive_key(secret: str, purpose: str) -> bytes:
    """Return the 32-byte key of *purpose*, derived from *secret* with HKDF-SHA256 (RFC 5869)."""
    info = f"ai-agent-system/{purpose}".encode()
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(secret.encode())
