"""A backup under a passphrase: sealed in chunks, so that it is never in memory whole.

    magic, then 16 bytes of salt
    for each chunk: its length in 4 bytes, whose highest bit marks the last one; the sealed bytes

The key comes from the passphrase by scrypt. Each chunk is sealed by ChaCha20-Poly1305 under its
number and that mark, so that none can be changed, left out, moved or added, nor the end cut off.
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

from backend.chassis.backup_archive import Damaged, NotABackup
from backend.chassis.console import CannotRun

_MAGIC = b"ai-agent-system sealed backup 1\n"
_CHUNK = 2**20
_TAG = 16
_LAST = 2**31
_LENGTH = struct.Struct(">I")


@contextmanager
def sealed(out: IO[bytes], passphrase: bytes | None) -> Iterator[IO[bytes]]:
    """What is written to reaches *out* sealed; as it is without a passphrase."""
    if passphrase is None:
        yield out
        return
    salt = os.urandom(16)
    out.write(_MAGIC + salt)
    writer = io.BufferedWriter(sealing := _Sealing(out, _key(passphrase, salt)), _CHUNK)
    yield writer
    writer.flush()
    sealing.end()


def unsealed(file: IO[bytes], passphrase: bytes | None) -> IO[bytes]:
    """*file* from its beginning as it was before it was sealed, if it was."""
    file.seek(0)
    if file.read(len(_MAGIC)) != _MAGIC:
        file.seek(0)
        return file
    if passphrase is None:
        raise CannotRun("This backup is sealed. Name the file of its passphrase: --passphrase-file")
    salt = file.read(16)
    return io.BufferedReader(_Opening(file, _key(passphrase, salt)), _CHUNK)


class _Sealing(io.RawIOBase):
    def __init__(self, out: IO[bytes], key: ChaCha20Poly1305) -> None:
        self._out = out
        self._key = key
        self._number = 0

    def writable(self) -> bool:
        return True

    def write(self, content: "bytes | memoryview[int]") -> int:  # type: ignore[override]
        part = bytes(content[:_CHUNK])
        self._put(part, 0)
        return len(part)

    def end(self) -> None:
        self._put(b"", _LAST)

    def _put(self, content: bytes, mark: int) -> None:
        head = _LENGTH.pack(len(content) + _TAG | mark)
        self._out.write(head + self._key.encrypt(_nonce(self._number), content, head))
        self._number += 1


class _Opening(io.RawIOBase):
    def __init__(self, file: IO[bytes], key: ChaCha20Poly1305) -> None:
        self._file = file
        self._key = key
        self._number = 0
        self._ready = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview[int]") -> int:  # type: ignore[override]
        while not self._ready and not self._ended:
            self._ready = self._next()
        part = self._ready[: len(buffer)]
        buffer[: len(part)] = part
        self._ready = self._ready[len(part) :]
        return len(part)

    def _next(self) -> bytes:
        head = self._file.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            raise Damaged("it was cut short")
        (length,) = _LENGTH.unpack(head)
        self._ended = bool(length & _LAST)
        length &= ~_LAST
        if not _TAG <= length <= _CHUNK + _TAG:
            raise Damaged("it is not what was written")
        try:
            content = self._key.decrypt(_nonce(self._number), self._file.read(length), head)
        except InvalidTag:
            raise self._refused() from None
        self._number += 1
        return content

    def _refused(self) -> CannotRun:
        if self._number:
            return Damaged("it is not what was written")
        return NotABackup("This is not the passphrase of this backup, or the file is damaged.")


def _key(passphrase: bytes, salt: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(Scrypt(salt, 32, n=2**16, r=8, p=1).derive(passphrase))


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")
