"""Whether there is room left, asked before a full disk shows in odder ways."""

import shutil
from pathlib import Path

from backend.chassis.console import CannotRun

_MB = 1024 * 1024


def refuse_full_disk(folder: Path, least: int) -> None:
    free = shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.exists())).free
    if free < least:
        raise CannotRun(
            f"The disk that holds {folder} is full: {free // _MB} MB are free and "
            f"{least // _MB} MB are needed. Make room, then start again."
        )
