"""Encrypt backups with a passphrase, in chunks, so that memory use is bounded.

    magic, then 16 bytes of salt
    for each chunk: its length in 4 bytes, whose highest bit marks the last one; the encrypted bytes

The key is derived from the passphrase by scrypt. Each chunk is encrypted with ChaCha20-Poly1305.
Its nonce is its number and its length field is authenticated, so that changed, removed, moved or
added chunks and a missing end are detected.

The format must not change: old backups are restored with it. It shares no key derivation with
chassis/encryption.py, which derives keys from random secrets and needs no slow function.
"""

import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from backend.chassis.console import CommandError
from backend.operations.backup.format.archive import BackupDamaged, NotABackup

_MAGIC = b"ai-agent-system sealed backup 1\n"
_SALT_BYTES = 16
_CHUNK_BYTES = 2**20
_TAG_BYTES = 16
_LAST_CHUNK = 2**31
_LENGTH = struct.Struct(">I")


@contextmanager
def encrypt_stream(out: IO[bytes], passphrase: bytes | None) -> Iterator[IO[bytes]]:
    """Yield a file that writes encrypted content to *out*; without a passphrase, yield *out*."""
    if passphrase is None:
        yield out
        return
    salt = os.urandom(_SALT_BYTES)
    out.write(_MAGIC + salt)
    encrypting = _EncryptingWriter(out, _derive_key(passphrase, salt))
    writer = io.BufferedWriter(encrypting, _CHUNK_BYTES)
    yield writer
    writer.flush()
    encrypting.write_last_chunk()


def decrypt_file(file: IO[bytes], passphrase: bytes | None) -> IO[bytes]:
    """Return the decrypted content of *file* from its beginning, or *file* if not encrypted.

    Raises:
        CommandError: *file* is encrypted and *passphrase* is None.
    """
    file.seek(0)
    if file.read(len(_MAGIC)) != _MAGIC:
        file.seek(0)
        return file
    if passphrase is None:
        raise CommandError(
            "This backup is encrypted. Pass the file with its passphrase: --passphrase-file FILE"
        )
    salt = file.read(_SALT_BYTES)
    return io.BufferedReader(_DecryptingReader(file, _derive_key(passphrase, salt)), _CHUNK_BYTES)


class _EncryptingWriter(io.RawIOBase):
    """Writes each block it receives as one encrypted chunk."""

    def __init__(self, out: IO[bytes], cipher: ChaCha20Poly1305) -> None:
        self._out = out
        self._cipher = cipher
        self._number = 0

    def writable(self) -> bool:
        return True

    def write(self, content: "bytes | memoryview[int]") -> int:  # type: ignore[override]
        chunk = bytes(content[:_CHUNK_BYTES])
        self._write_chunk(chunk, 0)
        return len(chunk)

    def write_last_chunk(self) -> None:
        self._write_chunk(b"", _LAST_CHUNK)

    def _write_chunk(self, content: bytes, mark: int) -> None:
        length = _LENGTH.pack(len(content) + _TAG_BYTES | mark)
        self._out.write(length + self._cipher.encrypt(_nonce(self._number), content, length))
        self._number += 1


class _DecryptingReader(io.RawIOBase):
    """Reads and decrypts chunk after chunk.

    Raises:
        NotABackup: the first chunk cannot be decrypted.
        BackupDamaged: a later one cannot, or the last one is missing.
    """

    def __init__(self, file: IO[bytes], cipher: ChaCha20Poly1305) -> None:
        self._file = file
        self._cipher = cipher
        self._number = 0
        self._decrypted = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview[int]") -> int:  # type: ignore[override]
        while not self._decrypted and not self._ended:
            self._decrypted = self._read_chunk()
        part = self._decrypted[: len(buffer)]
        buffer[: len(part)] = part
        self._decrypted = self._decrypted[len(part) :]
        return len(part)

    def _read_chunk(self) -> bytes:
        field = self._file.read(_LENGTH.size)
        if len(field) < _LENGTH.size:
            raise BackupDamaged("it is incomplete")
        (length,) = _LENGTH.unpack(field)
        self._ended = bool(length & _LAST_CHUNK)
        length &= ~_LAST_CHUNK
        if not _TAG_BYTES <= length <= _CHUNK_BYTES + _TAG_BYTES:
            raise BackupDamaged("its content was changed")
        try:
            content = self._cipher.decrypt(_nonce(self._number), self._file.read(length), field)
        except InvalidTag:
            raise self._decryption_error() from None
        self._number += 1
        return content

    def _decryption_error(self) -> CommandError:
        if self._number:
            return BackupDamaged("its content was changed")
        return NotABackup("The passphrase is wrong, or the file is damaged.")


def _derive_key(passphrase: bytes, salt: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(Scrypt(salt, 32, n=2**16, r=8, p=1).derive(passphrase))


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")
