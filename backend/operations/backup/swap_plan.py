"""Swap restored files with the existing ones: the last, resumable step of a restore.

A restore prepares everything in `DATA_DIR/restoring`. Until the plan is committed, deleting that
folder cancels the restore. After that, the next restore first completes the plan. While the folder
exists, no service starts (`check_no_interrupted_restore`).
"""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from backend.chassis.console import CommandError
from backend.chassis.files import sync_file, sync_folder

STAGING_FOLDER = "restoring"
_PLAN_NAME = "moves.json"


class Move(NamedTuple):
    """Move *target* to *aside*, then *source* to *target*. Idempotent.

    Without a source, *target* is only moved to *aside*.
    """

    source: Path | None
    target: Path
    aside: Path


def check_no_interrupted_restore(data: Path) -> None:
    """Raise CommandError if a restore into *data* is incomplete."""
    staging = data / STAGING_FOLDER
    if (staging / _PLAN_NAME).exists():
        raise CommandError(
            f"A restore into {data} was interrupted while it replaced files. Run it again to "
            "complete it: python -m backend restore FILE"
        )
    if staging.exists():
        raise CommandError(
            f"A restore into {data} is running, or was interrupted before it changed anything. "
            f"Run it again (python -m backend restore FILE), or delete {staging}."
        )


def write_plan(data: Path, moves: Sequence[Move]) -> None:
    """Write the plan. It takes effect with `commit_plan`."""
    with _draft_path(data).open("w") as out:
        json.dump([[path and str(path) for path in move] for move in moves], out)
        sync_file(out)


def commit_plan(data: Path) -> None:
    """Make the plan durable. If this restore is interrupted afterwards, the next completes it."""
    os.sync()
    _draft_path(data).replace(data / STAGING_FOLDER / _PLAN_NAME)
    sync_folder(data / STAGING_FOLDER)


def execute_plan(data: Path) -> bool:
    """Execute the committed plan and return True, or return False if there is none."""
    file = data / STAGING_FOLDER / _PLAN_NAME
    if not file.exists():
        return False
    for source, target, aside in json.loads(file.read_text()):
        if source is None or Path(source).exists():
            if Path(target).exists() and not Path(aside).exists():
                Path(aside).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                Path(target).rename(aside)
            if source is not None:
                Path(target).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                Path(source).rename(target)
    sync_folder(data)
    shutil.rmtree(data / STAGING_FOLDER)
    return True


def discard_plan(data: Path) -> None:
    """Delete the staging folder of a restore whose plan is not committed."""
    shutil.rmtree(data / STAGING_FOLDER, ignore_errors=True)


def _draft_path(data: Path) -> Path:
    return data / STAGING_FOLDER / f"{_PLAN_NAME}.part"
