"""Wrap data keys with a master key, which is in a file or in a key management system (KMS)."""

import base64
import binascii
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from backend.chassis.data_encryption.settings import KEY_BYTES, EncryptionSettings
from backend.chassis.encryption import DamagedValue, MasterKeyError

KMS_LABEL: Final = "kms"
_KMS_TIMEOUT_SECONDS: Final = 10.0
_MAX_WRAPPED_BYTES: Final = 8192
_NONCE_BYTES: Final = 12


class KeyWrapper(Protocol):
    """Wraps and unwraps data keys with one master key. *label* is stored with each data key."""

    @property
    def label(self) -> str: ...

    def wrap(self, key: bytes, context: bytes) -> str:
        """Return *key* in wrapped form. Raises MasterKeyError."""
        ...

    def unwrap(self, wrapped: str, context: bytes) -> bytes:
        """Return the data key that `wrap` was given with *context*.

        Raises:
            MasterKeyError: the KMS command failed.
            DamagedValue: the wrapped key was changed, or wrapped with another master key.
        """
        ...


class FileKeyWrapper:
    """Wraps data keys with a key of the key file (AES-256-GCM)."""

    def __init__(self, master_key: bytes) -> None:
        self._cipher = AESGCM(master_key)
        # A digest of a random key reveals nothing about it.
        self.label = f"file:{sha256(b'data-encryption/label' + master_key).hexdigest()[:12]}"

    def wrap(self, key: bytes, context: bytes) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, key, context)).decode()

    def unwrap(self, wrapped: str, context: bytes) -> bytes:
        try:
            content = base64.b64decode(wrapped, validate=True)
            nonce, sealed = content[:_NONCE_BYTES], content[_NONCE_BYTES:]
            return self._cipher.decrypt(nonce, sealed, context)
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise DamagedValue("wrapped data key") from error


class KmsCommandWrapper:
    """Wraps data keys with a command of the operator.

    The command is run with `wrap` or `unwrap` as its last argument. For `wrap`, it reads a data key
    in base64 from its standard input and prints a text of at most 8 KiB. For `unwrap`, it reads
    that text and prints the data key in base64.
    """

    label = KMS_LABEL

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)

    def wrap(self, key: bytes, context: bytes) -> str:
        del context  # the values that a data key encrypts are bound to its id and tenant
        return self._run("wrap", base64.b64encode(key).decode())

    def unwrap(self, wrapped: str, context: bytes) -> bytes:
        del context
        try:
            key = base64.b64decode(self._run("unwrap", wrapped), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            raise MasterKeyError(
                f"ENCRYPTION_KMS_COMMAND: unwrap did not print {KEY_BYTES} bytes in base64."
            )
        return key

    def _run(self, action: str, text: str) -> str:
        try:
            process = subprocess.Popen(  # noqa: S603 - the command is the operator's
                [*self._command, action],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                process_group=0,
            )
        except OSError as error:
            raise MasterKeyError(
                f"ENCRYPTION_KMS_COMMAND cannot be started: {error.strerror}."
            ) from error
        output, is_too_slow = _exchange(process, f"{text}\n".encode())
        if is_too_slow:
            raise MasterKeyError(
                f"ENCRYPTION_KMS_COMMAND: {action} took longer than {_KMS_TIMEOUT_SECONDS:.0f} s."
            )
        # A command whose output is cut ends with a broken pipe.
        if process.returncode != 0 and len(output) <= _MAX_WRAPPED_BYTES:
            raise MasterKeyError(
                f"ENCRYPTION_KMS_COMMAND: {action} failed with status {process.returncode}."
            )
        result = output.decode("ascii", "replace").strip()
        if not 0 < len(result) <= _MAX_WRAPPED_BYTES or not result.isprintable():
            raise MasterKeyError(
                f"ENCRYPTION_KMS_COMMAND: {action} must print one line of at most 8 KiB."
            )
        return result


def create_wrappers(settings: EncryptionSettings) -> tuple[KeyWrapper, ...]:
    """Return the wrappers of *settings*. The first one wraps new data keys."""
    kms = (KmsCommandWrapper(settings.kms_command),) if settings.kms_command else ()
    return (*kms, *map(FileKeyWrapper, settings.master_keys))


def _exchange(process: "subprocess.Popen[bytes]", text: bytes) -> tuple[bytes, bool]:
    """Send *text*, and return the beginning of the output and whether the time limit was hit.

    At the limit, and after an exception, the whole process group is killed: the command can be a
    script whose child processes wait for a server and keep the pipe open.
    """
    is_too_slow = threading.Event()

    def kill() -> None:
        is_too_slow.set()
        _kill_group(process)

    timer = threading.Timer(_KMS_TIMEOUT_SECONDS, kill)
    timer.start()
    assert process.stdin is not None  # noqa: S101 - both are pipes
    assert process.stdout is not None  # noqa: S101
    try:
        with process.stdout:
            try:
                with process.stdin:
                    process.stdin.write(text)
            except BrokenPipeError:
                pass  # the command does not read its input; its status tells whether it failed
            output = process.stdout.read(_MAX_WRAPPED_BYTES + 2)
        process.wait()
    except BaseException:
        _kill_group(process)
        process.wait()
        raise
    finally:
        timer.cancel()
    return output, is_too_slow.is_set()


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    # Without a status, the process was not waited for, so that no other one has its id.
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
