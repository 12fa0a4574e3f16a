"""Encryption of table columns that only the service itself must be able to read."""

import base64

from cryptography.fernet import Fernet, InvalidToken

from backend.security.key_derivation import derive_key


class DecryptionError(Exception):
    """The value was encrypted with another secret, or it is damaged."""


class DamagedValue(DecryptionError):
    """A value encrypted at rest was changed or moved, or its data key does not exist."""


class MasterKeyError(DecryptionError):
    """The master key is missing or wrong, or the KMS command failed. The message says which."""


class Encryptor:
    """Encrypts and authenticates values with a key derived from *secret* for *purpose* (Fernet)."""

    def __init__(self, secret: str, purpose: str) -> None:
        self._fernet = Fernet(base64.urlsafe_b64encode(derive_key(secret, purpose)))

    def encrypt_bytes(self, content: bytes) -> bytes:
        return self._fernet.encrypt(content)

    def decrypt_bytes(self, token: bytes) -> bytes:
        """Return the encrypted content.

        Raises:
            DecryptionError: *token* was encrypted with another secret or is damaged.
        """
        try:
            return self._fernet.decrypt(token)
        except InvalidToken as error:
            raise DecryptionError from error

    def encrypt_text(self, text: str) -> str:
        return self.encrypt_bytes(text.encode()).decode()

    def decrypt_text(self, token: str) -> str:
        """Return the encrypted text.

        Raises:
            DecryptionError: *token* was encrypted with another secret or is damaged.
        """
        return self.decrypt_bytes(token.encode()).decode()
