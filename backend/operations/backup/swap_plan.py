"""The last step of a restore on the disk: files change places, all of them or, later, the rest.

A restore makes everything in `DATA_DIR/restoring`. Until its list of moves is there, deleting that
folder gives the restore up; from then on, another restore first carries the list out. While the
folder is there, nothing else starts: `refuse_half_restored` sees to that.
"""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from backend.chassis.console import CannotRun

STAGE = "restoring"
_LIST = "moves.json"


class Move(NamedTuple):
    """What goes where; what stands there goes to *aside* before.

    Without a source, only that. Being done twice does no more than being done once.
    """

    source: Path | None
    target: Path
    aside: Path


def refuse_half_restored(data: Path) -> None:
    """Raise where a restore into *data* did not come to its end."""
    stage = data / STAGE
    if (stage / _LIST).exists():
        raise CannotRun(
            f"A restore into {data} was interrupted half-way. Do it again, and it goes on: "
            "python -m backend restore FILE"
        )
    if stage.exists():
        raise CannotRun(
            f"A restore into {data} was interrupted before it changed anything, or is under way. "
            f"Do it again (python -m backend restore FILE), or delete {stage}."
        )


def prepare(data: Path, moves: Sequence[Move]) -> None:
    """Write the list down; it counts from `decide` on."""
    with _draft(data).open("w") as out:
        json.dump([[path and str(path) for path in move] for move in moves], out)
        out.flush()
        os.fsync(out.fileno())


def decide(data: Path) -> None:
    """From here on the moves are carried out, by whoever comes next if not by us."""
    os.sync()
    _draft(data).replace(data / STAGE / _LIST)
    sync_folder(data / STAGE)


def carry_out(data: Path) -> bool:
    """Carry out what is written down; False if there is nothing."""
    file = data / STAGE / _LIST
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
    shutil.rmtree(data / STAGE)
    return True


def give_up(data: Path) -> None:
    """Forget a restore of which nothing was moved yet."""
    shutil.rmtree(data / STAGE, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Force the names in *folder* to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _draft(data: Path) -> Path:
    return data / STAGE / f"{_LIST}.part"
