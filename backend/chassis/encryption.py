"""Keep in the tables what has to be read again but by nobody else."""

import base64

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class BrokenSeal(Exception):
    """It was sealed with another secret than today's."""


class Seal:
    """Seals with a key that is derived from a secret for one purpose."""

    def __init__(self, secret: str, purpose: str) -> None:
        key = HKDF(hashes.SHA256(), 32, None, f"ai-agent-system/{purpose}".encode()).derive(
            secret.encode()
        )
        self._box = Fernet(base64.urlsafe_b64encode(key))

    def close(self, text: str) -> str:
        return self._box.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """What was sealed, or BrokenSeal."""
        try:
            return self._box.decrypt(sealed.encode()).decode()
        except InvalidToken as error:
            raise BrokenSeal from error
