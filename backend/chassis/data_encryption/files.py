"""Encrypted files: an authenticated format of chunks that can be read from any position.

The format is the STREAM construction (Hoang, Reyhanitabar, Rogaway and Vizár, "Online Authenticated
Encryption and its Nonce-Reuse Misuse-Resistance", CRYPTO 2015, section 7): each chunk is encrypted
with AES-256-GCM under a nonce of a prefix, the chunk's number and a flag of the last chunk. Chunks
can thus neither be exchanged nor left out at the end. The key of a file is derived from a data key
with a random salt.

    magic (8 bytes), id of the data key (28), salt (16), nonce prefix (7), encrypted chunks

Each chunk has 64 KiB of the content, the last one up to 64 KiB, and a tag of 16 bytes.
"""

import io
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import time
from typing import IO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from backend.chassis.data_encryption.data_key import DataKey
from backend.chassis.data_encryption.data_keys import (
    KEY_ID_CHARACTERS,
    DataKeys,
)
from backend.chassis.database.sessions import Database, Session
from backend.chassis.encryption import DamagedValue
from backend.chassis.files import replace_file

SUFFIX: Final = ".sealed"
"""Ends the name of an encrypted file. The rest is the name of the clear file that it replaces."""
_MAGIC: Final = b"AASFILE1"
_SALT_BYTES: Final = 16
_PREFIX_BYTES: Final = 7
_COUNTER_BYTES: Final = 4
_HEADER_BYTES: Final = len(_MAGIC) + KEY_ID_CHARACTERS + _SALT_BYTES + _PREFIX_BYTES
_CHUNK_BYTES: Final = 65536
_TAG_BYTES: Final = 16
_SEALED_CHUNK_BYTES: Final = _CHUNK_BYTES + _TAG_BYTES
# Files that are read into memory at the same time to detect their types.
_MAX_MEMORY_FILES: Final = 2
# A temporary file that was not written to for this time belongs to a process that was killed.
_DRAFT_SECONDS: Final = 600.0


class SealingWriter:
    """Encrypts what is written and writes it to *file*, of which it takes no possession."""

    def __init__(self, file: IO[bytes], key: DataKey, context: str) -> None:
        salt, self._prefix = os.urandom(_SALT_BYTES), os.urandom(_PREFIX_BYTES)
        self._file = file
        self._cipher = AESGCM(key.derive(salt, key.bind(context)))
        self._buffer = bytearray()
        self._number = 0
        file.write(_MAGIC + key.id.encode("ascii") + salt + self._prefix)

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        while view:
            room = _CHUNK_BYTES - len(self._buffer)
            if room == 0:
                self._write_chunk(is_last=False)
                continue
            self._buffer += view[:room]
            view = view[room:]
        return len(data)

    def finish(self) -> None:
        """Write the last chunk. Nothing can be written afterwards."""
        self._write_chunk(is_last=True)

    def _write_chunk(self, *, is_last: bool) -> None:
        nonce = _build_nonce(self._prefix, self._number, is_last=is_last)
        self._file.write(self._cipher.encrypt(nonce, bytes(self._buffer), None))
        self._buffer.clear()
        self._number += 1


class SealedReader(io.RawIOBase):
    """Reads an encrypted file from any position. It closes *file*.

    Raises:
        DamagedValue: the header or the end of the file is damaged; also on reading a damaged part.
    """

    def __init__(self, file: IO[bytes], keys: "FileKeys", context: str) -> None:
        super().__init__()
        self._file = file
        self._context = context
        header = file.read(_HEADER_BYTES)
        if len(header) != _HEADER_BYTES or not header.startswith(_MAGIC):
            raise DamagedValue(context)
        key_end = len(_MAGIC) + KEY_ID_CHARACTERS
        salt, self._prefix = header[key_end:-_PREFIX_BYTES], header[-_PREFIX_BYTES:]
        key = keys.get_key(header[len(_MAGIC) : key_end].decode("ascii", "replace"))
        self._cipher = AESGCM(key.derive(salt, key.bind(context)))
        length = file.seek(0, os.SEEK_END) - _HEADER_BYTES
        self._chunk_count = -(-length // _SEALED_CHUNK_BYTES)
        self.size = length - self._chunk_count * _TAG_BYTES
        self._position = 0
        self._loaded: tuple[int, bytes] | None = None
        self._load(self._chunk_count - 1)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        if start + offset < 0:
            raise ValueError("negative position")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        if self._position >= self.size:
            return 0
        number, start = divmod(self._position, _CHUNK_BYTES)
        part = self._load(number)[start : start + len(buffer)]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)

    def verify(self) -> None:
        """Decrypt the whole file. Raises DamagedValue."""
        for number in range(self._chunk_count):
            self._load(number)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _load(self, number: int) -> bytes:
        if self._loaded is not None and self._loaded[0] == number:
            return self._loaded[1]
        if number < 0:
            raise DamagedValue(self._context)
        self._file.seek(_HEADER_BYTES + number * _SEALED_CHUNK_BYTES)
        sealed = self._file.read(_SEALED_CHUNK_BYTES)
        nonce = _build_nonce(self._prefix, number, is_last=number == self._chunk_count - 1)
        try:
            chunk = self._cipher.decrypt(nonce, sealed, None)
        except (InvalidTag, ValueError) as error:
            raise DamagedValue(self._context) from error
        self._loaded = number, chunk
        return chunk


class FileKeys:
    """Finds the data keys of files, in transactions of their own."""

    def __init__(self, keys: DataKeys, database: Database) -> None:
        self._keys = keys
        self._database = database.across_tenants()

    def get_key(self, key_id: str) -> DataKey:
        """Return a data key. Raises DamagedValue if it does not exist."""
        with self._database.read() as session:
            return self._keys.get_key(session, key_id)

    def get_current_key(self, tenant_id: str, session: Session | None = None) -> DataKey:
        """Return the key for new files of the tenant.

        Args:
            session: the caller's session if it is in a writing transaction.
        """
        if session is not None:
            return self._keys.get_current_key(session, tenant_id)
        with self._database.write() as own_session:
            return self._keys.get_current_key(own_session, tenant_id)


class FileEncryption:
    """Encrypts the files of a folder. A file is bound to its kind, its name and its tenant.

    Args:
        kind: what the files are, such as "rag/blobs".
        keys: None if encryption is off. Files that were encrypted before cannot be opened then.
    """

    def __init__(self, kind: str, keys: FileKeys | None = None) -> None:
        self._kind = kind
        self._keys = keys
        self._memory_files = threading.BoundedSemaphore(_MAX_MEMORY_FILES)

    @property
    def is_on(self) -> bool:
        return self._keys is not None

    def create_writer(
        self, file: IO[bytes], name: str, tenant_id: str, session: Session | None = None
    ) -> SealingWriter:
        """Return a writer that encrypts the content of the file *name* of a tenant."""
        keys = self._get_keys(name)
        key = keys.get_current_key(tenant_id, session)
        return SealingWriter(file, key, self._bind(name))

    def open(self, path: Path) -> IO[bytes]:
        """Open the file *path*, or the encrypted one in its place, for reading.

        Raises:
            FileNotFoundError: there is neither.
            DamagedValue: the encrypted file is damaged.
        """
        try:
            reader = self._open_sealed(path)
        except FileNotFoundError:
            try:
                return path.open("rb")
            except FileNotFoundError:  # or it was encrypted since
                reader = self._open_sealed(path)
        return io.BufferedReader(reader, _CHUNK_BYTES)

    def find_download(self, path: Path) -> "Path | SealedReader | None":
        """Return *path* if the file is clear, a reader if it is encrypted, or None without a file.

        Raises:
            DamagedValue: the encrypted file is damaged.
        """
        stored = find_stored_path(path)
        if stored is None or stored == path:
            return stored
        return self._open_sealed(path)

    @contextmanager
    def open_clear_path(self, path: Path) -> Iterator[Path]:
        """Yield the path of the content in clear, for readers that need a path.

        The content of an encrypted file is copied to memory, where processes of this user can open
        it until the block ends. A clear file can be encrypted and deleted within the block.
        """
        if self._keys is None and not get_sealed_path(path).exists():
            yield path
            return
        descriptor = self._open_descriptor(path)
        try:
            yield Path(f"/proc/{os.getpid()}/fd/{descriptor}")
        finally:
            os.close(descriptor)

    @contextmanager
    def limit_memory_files(self) -> Iterator[None]:
        """Let only two threads be in such blocks, in which they read files into memory."""
        with self._memory_files:
            yield

    def seal_file(self, path: Path, tenant_id: str) -> None:
        """Encrypt the clear or encrypted file *path* with the tenant's current data key.

        A clear file remains, for readers that have its path. `delete_clear_copy` deletes it.
        """
        with self.open(path) as source, replace_file(get_sealed_path(path)) as target:
            writer = self.create_writer(target, path.name, tenant_id)
            while part := source.read(_CHUNK_BYTES):
                writer.write(part)
            writer.finish()

    def unseal_file(self, path: Path) -> None:
        """Replace the encrypted file of *path* by a clear one."""
        with self.open(path) as source, replace_file(path) as target:
            shutil.copyfileobj(source, target, _CHUNK_BYTES)
        get_sealed_path(path).unlink(missing_ok=True)

    def _open_descriptor(self, path: Path) -> int:
        """Return a descriptor of the content of *path* in clear."""
        if not get_sealed_path(path).exists():
            with suppress(FileNotFoundError):  # encrypted since, or there is none
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        descriptor = os.memfd_create("document", os.MFD_CLOEXEC)
        try:
            with self.open(path) as source, os.fdopen(os.dup(descriptor), "wb") as target:
                shutil.copyfileobj(source, target, _CHUNK_BYTES)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _open_sealed(self, path: Path) -> SealedReader:
        file = get_sealed_path(path).open("rb")
        try:
            return SealedReader(file, self._get_keys(path.name), self._bind(path.name))
        except BaseException:
            file.close()
            raise

    def _get_keys(self, name: str) -> FileKeys:
        if self._keys is None:
            raise DamagedValue(f"{self._bind(name)}: it is encrypted, and encryption is off")
        return self._keys

    def _bind(self, name: str) -> str:
        return f"{self._kind}/{name}"


def get_sealed_path(path: Path) -> Path:
    """Return the path of the encrypted file that takes the place of *path*."""
    return path.with_name(path.name + SUFFIX)


def find_stored_path(path: Path) -> Path | None:
    """Return the path of the encrypted or clear file, or None if there is neither."""
    # The encrypted one again: it can be created, and the clear one deleted, in between.
    for candidate in (get_sealed_path(path), path, get_sealed_path(path)):
        if candidate.is_file():
            return candidate
    return None


def delete_file(path: Path) -> None:
    """Delete the file *path* and the encrypted one in its place, if they exist."""
    path.unlink(missing_ok=True)
    get_sealed_path(path).unlink(missing_ok=True)


def delete_clear_copy(path: Path) -> None:
    """Delete the clear file *path* if it has been encrypted."""
    if get_sealed_path(path).is_file():
        path.unlink(missing_ok=True)


def list_abandoned_drafts(folder: Path) -> Iterator[Path]:
    """Yield temporary files of `replace_file` that a killed process has left in *folder*."""
    if not folder.is_dir():
        return
    oldest = time() - _DRAFT_SECONDS
    for path in folder.glob(".*"):
        with suppress(FileNotFoundError):  # the draft of a running process
            if path.is_file() and path.stat().st_mtime < oldest:
                yield path


def is_sealed_file(path: Path) -> bool:
    """Return True if the file *path* begins like an encrypted one."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def read_key_id(path: Path) -> str:
    """Return the id of the data key of an encrypted file."""
    with path.open("rb") as file:
        return file.read(_HEADER_BYTES)[len(_MAGIC) :][:KEY_ID_CHARACTERS].decode(
            "ascii", "replace"
        )


def _build_nonce(prefix: bytes, number: int, *, is_last: bool) -> bytes:
    return prefix + number.to_bytes(_COUNTER_BYTES, "big") + bytes([is_last])
