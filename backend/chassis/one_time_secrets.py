"""Secrets that are shown to the operator once and never written to a log.

A service stores the secret in a file that only its user can read. The program that started the
service prints and deletes it.
"""

import os
from collections.abc import Iterator
from pathlib import Path

_FOLDER = "announcements"


def store_one_time_secret(data_dir: Path, name: str, text: str) -> None:
    """Store *text* for the operator under the file name *name*, replacing an earlier one."""
    folder = data_dir / _FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def pop_one_time_secrets(data_dir: Path) -> Iterator[str]:
    """Yield the stored texts and delete them."""
    folder = data_dir / _FOLDER
    if not folder.is_dir():
        return
    for file in sorted(folder.iterdir()):
        text = file.read_text()
        file.unlink()
        yield text
