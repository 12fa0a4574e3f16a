"""Thresholds of free disk space, and a check that stops a command before the disk is full."""

import shutil
from pathlib import Path
from typing import Final

from backend.chassis.console import CommandError

_MB: Final = 1024 * 1024
MIN_FREE_BYTES_TO_START: Final = 64 * _MB
MIN_FREE_BYTES_TO_INSTALL: Final = 700 * _MB
DOCTOR_ERROR_FREE_BYTES: Final = 200 * _MB
"""Below this, doctor reports an error."""
DOCTOR_WARNING_FREE_BYTES: Final = 1024 * _MB
"""Below this, doctor reports a warning."""


def find_existing_folder(folder: Path) -> Path:
    """Return *folder*, or its nearest parent that exists."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def check_disk_space(folder: Path, min_free_bytes: int) -> None:
    """Raise CommandError unless the disk of *folder* has *min_free_bytes* free."""
    free = shutil.disk_usage(find_existing_folder(folder)).free
    if free < min_free_bytes:
        raise CommandError(
            f"The disk of {folder} is full: {free // _MB} MB are free, "
            f"{min_free_bytes // _MB} MB are needed. Free some space, then start again."
        )
