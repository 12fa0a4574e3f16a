"""Secrets in files, as container and cluster platforms mount them.

`DATABASE_URL_FILE=/run/secrets/database-url` sets DATABASE_URL to the content of that file. The
same works for every variable whose name ends in KEY, PASSWORD, SECRET or URL. A variable that is
set directly takes precedence. ENCRYPTION_KEY_FILE is read by rag, chat and agent only.
"""

import re
from collections.abc import Mapping
from pathlib import Path

_FILE_VARIABLE = re.compile(r"(?P<name>[A-Z0-9_]+(?:KEY|PASSWORD|SECRET|URL))_FILE")

# Only the services that need this secret read its file.
_READ_BY_SERVICES = frozenset({"ENCRYPTION_KEY_FILE"})


class SecretFileError(Exception):
    """A secret file cannot be read. The message names the variable and the fix."""


def read_secret_files(values: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that *values* sets through files and not directly.

    Raises:
        SecretFileError: a file cannot be read.
    """
    secrets = {}
    for variable, file in values.items():
        match = _FILE_VARIABLE.fullmatch(variable)
        if match is None or variable in _READ_BY_SERVICES:
            continue
        if file and not values.get(match["name"]):
            secrets[match["name"]] = _read_file(variable, file)
    return secrets


def _read_file(variable: str, file: str) -> str:
    try:
        return Path(file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SecretFileError(
            f"{variable} names {file}, which cannot be read: {reason}. "
            "Name a file that this user may read, or unset the variable."
        ) from error
