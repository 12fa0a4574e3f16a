"""Secrets that stand in files, as containers and clusters hand them out.

`DATABASE_URL_FILE=/run/secrets/database-url` is DATABASE_URL with what the file holds; so is each
variable that ends in KEY, PASSWORD, SECRET or URL. One that is set by itself wins.
"""

import re
from collections.abc import Mapping
from pathlib import Path

_NAMES_A_FILE = re.compile(r"(?P<name>[A-Z0-9_]+(?:KEY|PASSWORD|SECRET|URL))_FILE")


class UnreadableSecret(Exception):
    """A file that is named can't be read; the message names the variable and the mend."""


def read_from_files(values: Mapping[str, str]) -> dict[str, str]:
    """The variables that *values* names files for, and that are not set themselves."""
    read = {}
    for variable, file in values.items():
        names = _NAMES_A_FILE.fullmatch(variable)
        if names and file and not values.get(names["name"]):
            read[names["name"]] = _content(variable, file)
    return read


def _content(variable: str, file: str) -> str:
    try:
        return Path(file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UnreadableSecret(
            f"{variable} names {file}, which can't be read: {why}. "
            "Name a file that this user may read, or unset it."
        ) from error
