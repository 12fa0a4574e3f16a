"""Settings of encryption at rest, read from the environment."""

import base64
import binascii
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from backend.chassis.settings import Env, SettingsError

KEY_BYTES: Final = 32
_CREATE = "Create a key with: openssl rand -base64 32"


@dataclass(frozen=True, slots=True)
class EncryptionSettings:
    """Where the master key is. Without one of both, nothing is encrypted.

    Attributes:
        master_keys: keys of the key file. The first one wraps new data keys, if there is no KMS
            command. The others unwrap older ones.
        kms_command: a program and its arguments, which wraps and unwraps data keys.
        key_file: the file of the master keys.
    """

    master_keys: tuple[bytes, ...] = field(default=(), repr=False)
    kms_command: tuple[str, ...] = ()
    key_file: Path | None = None

    @classmethod
    def from_env(cls, env: Env) -> Self:
        file, text = env.optional("ENCRYPTION_KEY_FILE"), env.optional("ENCRYPTION_KEY")
        if text is not None and file is not None:
            raise SettingsError(
                "ENCRYPTION_KEY and ENCRYPTION_KEY_FILE are both set. Unset one of them."
            )
        name = "ENCRYPTION_KEY"
        if file is not None:
            text, name = _read_key_file(file), "ENCRYPTION_KEY_FILE"
        settings = cls(
            () if text is None else _parse_keys(text, name),
            _parse_command(env.optional("ENCRYPTION_KMS_COMMAND")),
            None if file is None else Path(file),
        )
        if settings.is_on and sys.platform != "linux":
            raise SettingsError(
                "ENCRYPTION_KEY_FILE and ENCRYPTION_KMS_COMMAND need Linux: files are decrypted "
                "into memory files, which this system does not have. Unset them."
            )
        return settings

    @property
    def is_on(self) -> bool:
        return bool(self.master_keys or self.kms_command)


NO_ENCRYPTION: Final = EncryptionSettings()


def _read_key_file(file: str) -> str:
    try:
        return Path(file).read_text("utf-8-sig")  # editors may begin it with a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(
            f"ENCRYPTION_KEY_FILE names {file}, which cannot be read: {reason}. "
            "Name the file with the master key, which this user may read."
        ) from error


def _parse_keys(text: str, name: str) -> tuple[bytes, ...]:
    keys: list[bytes] = []
    for number, line in enumerate(text.splitlines(), 1):
        content = line.strip()
        if not content or content.startswith("#"):
            continue
        try:
            key = base64.b64decode(content, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            raise SettingsError(
                f"{name}: line {number} is not a key of {KEY_BYTES} bytes in base64. {_CREATE}"
            )
        if key in keys:
            raise SettingsError(f"{name}: line {number} repeats an earlier key.")
        keys.append(key)
    if not keys:
        raise SettingsError(f"{name} contains no key. {_CREATE}")
    return tuple(keys)


def _parse_command(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise SettingsError(
            f"ENCRYPTION_KMS_COMMAND is not a command: {error}. Close its quotes."
        ) from error
