"""Maximum length of the path of the data folder."""

import os
from pathlib import Path
from typing import Final

from backend.chassis.console import CommandError

# SQLite opens no file whose path with the suffix "-journal" is longer than 512 bytes
# (MAX_PATHNAME of its Unix layer). Chroma crashes without a message in that case.
_MAX_SQLITE_PATH_BYTES: Final = 512
_DEEPEST_DATABASE: Final = "/rag/vectors/chroma.sqlite3-journal"
MAX_DATA_PATH_BYTES: Final = _MAX_SQLITE_PATH_BYTES - len(_DEEPEST_DATABASE) - 1


def explain_path_length(data: Path) -> str | None:
    """Return why databases cannot be opened in the folder *data*, or None if they can."""
    length = len(os.fsencode(data))
    if length <= MAX_DATA_PATH_BYTES:
        return None
    return (
        f"The path of the data folder has {length} bytes, but SQLite supports at most "
        f"{MAX_DATA_PATH_BYTES} there: {data}"
    )


def check_path_length(data: Path) -> None:
    """Raise CommandError if databases cannot be opened in the folder *data*."""
    if problem := explain_path_length(data):
        raise CommandError(f"{problem}\nSet DATA_DIR to a folder with a shorter path.")
