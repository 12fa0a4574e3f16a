"""Tell the operator something once, without writing it into a log.

A service leaves a file that only its user can read; whoever starts the service
shows it and deletes it.
"""

import os
from collections.abc import Iterator
from pathlib import Path


def announce(data_dir: Path, name: str, text: str) -> None:
    """Leave *text* for the operator under *name*."""
    folder = data_dir / "announcements"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)


def take_announcements(data_dir: Path) -> Iterator[str]:
    """What was left for the operator; each is handed out once."""
    folder = data_dir / "announcements"
    if not folder.is_dir():
        return
    for file in sorted(folder.iterdir()):
        text = file.read_text()
        file.unlink()
        yield text
