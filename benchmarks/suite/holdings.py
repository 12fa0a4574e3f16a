"""What each program of a running suite holds: memory and open files, its children's included."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.suite.conftest import Suite, below

_BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Holding:
    """Of one program and all below it.

    Memory is proportional (PSS): what processes share counts once, so programs add up.
    """

    processes: int
    megabytes: float
    files: int


def held(suite: Suite) -> dict[str, Holding]:
    """Each program by the name that `status` shows, in the order in which it was started."""
    running = state(suite)
    found = {
        each["name"]: _holding([each["process"]["pid"], *dict(below(each["process"]["pid"]))])
        for each in running["programs"]
    }
    return found | {"supervisor": _holding([running["supervisor"]["pid"]])}


def state(suite: Suite) -> dict[str, Any]:
    """What the supervisor wrote last of what it runs."""
    told = (suite.folder / "data" / "run" / "state.json").read_text()
    written: dict[str, Any] = json.loads(told)
    return written


def bars(values: Sequence[float]) -> str:
    """*values* as a row of bars, from nothing to the highest."""
    highest = max(values) or 1
    return "".join(_BARS[round(value / highest * (len(_BARS) - 1))] for value in values)


def _holding(pids: list[int]) -> Holding:
    processes, kilobytes, files = 0, 0, 0
    for pid in pids:
        # A process may end while it is looked at.
        with contextlib.suppress(OSError):
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            kilobytes += int(rollup.partition("\nPss:")[2].split()[0])
            files += len(list(Path(f"/proc/{pid}/fd").iterdir()))
            processes += 1
    return Holding(processes, kilobytes / 1024, files)
