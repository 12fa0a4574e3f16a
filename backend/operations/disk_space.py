"""Check the free disk space before a full disk causes errors that are harder to understand."""

import shutil
from pathlib import Path

from backend.chassis.console import CommandError

_MB = 1024 * 1024


def check_disk_space(folder: Path, min_free_bytes: int) -> None:
    """Raise CommandError unless the disk of *folder* has *min_free_bytes* free."""
    free = shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.exists())).free
    if free < min_free_bytes:
        raise CommandError(
            f"The disk of {folder} is full: {free // _MB} MB are free, "
            f"{min_free_bytes // _MB} MB are needed. Free some space, then start again."
        )
