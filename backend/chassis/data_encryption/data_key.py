"""A data key: encrypts values of one tenant."""

import json
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from backend.chassis.data_encryption.key_wrapping import KeyWrapper
from backend.chassis.data_encryption.settings import KEY_BYTES
from backend.chassis.encryption import DamagedValue

_NONCE_BYTES: Final = 12


class DataKey:
    """A data key in clear. It encrypts values with AES-256-GCM (NIST SP 800-38D).

    Nonces are random, so a key must encrypt less than 2³² values.
    """

    __slots__ = ("_cipher", "_key", "id", "tenant_id")

    def __init__(self, key_id: str, tenant_id: str, key: bytes) -> None:
        self.id = key_id
        self.tenant_id = tenant_id
        self._key = key
        self._cipher = AESGCM(key)

    def encrypt(self, content: bytes, context: str) -> bytes:
        """Return *content* encrypted. It can only be decrypted with the same *context*."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, self.bind(context))

    def decrypt(self, sealed: bytes, context: str) -> bytes:
        """Return the content. Raises DamagedValue."""
        nonce, content = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, content, self.bind(context))
        except (InvalidTag, ValueError) as error:
            raise DamagedValue(context) from error

    def bind(self, context: str) -> bytes:
        """Return the associated data of a value: tenant, data key and *context*."""
        return json.dumps([self.tenant_id, self.id, context]).encode()

    def derive(self, salt: bytes, info: bytes) -> bytes:
        """Return a key of 32 bytes that is derived from this one (HKDF-SHA256, RFC 5869)."""
        return HKDF(hashes.SHA256(), KEY_BYTES, salt, info).derive(self._key)

    def wrap(self, wrapper: KeyWrapper) -> str:
        """Return this key wrapped by *wrapper*. Raises MasterKeyError."""
        return wrapper.wrap(self._key, bind_wrapped_key(self.tenant_id, self.id))


def bind_wrapped_key(tenant_id: str, key_id: str) -> bytes:
    """Return the associated data with which a master key wraps a data key."""
    return json.dumps([tenant_id, key_id]).encode()
