"""Log files: their last lines, what is added to them, and a bound on their size."""

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

LARGEST = 10 * 1024 * 1024
_TAIL_BYTES = 64 * 1024


def last_lines(log: Path, count: int, beyond: int = 0) -> list[str]:
    """At most *count* lines, of what stands in *log* after its first *beyond* bytes."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(beyond, log.stat().st_size - max(_TAIL_BYTES, count * 512)))
        return file.read().decode("utf-8", "replace").splitlines()[-count:]


def of_request(logs: Sequence[Path], request_id: str) -> list[dict[str, Any]]:
    """What all *logs*, and those that were moved aside, say of one request; the oldest first."""
    named = json.dumps(request_id)
    found = []
    for log in logs:
        for file in (log.with_name(log.name + ".1"), log):
            if not file.exists():
                continue
            with file.open(encoding="utf-8", errors="replace") as lines:
                # Most lines are another request's: they are not worth parsing.
                found += [_parsed(line) for line in lines if named in line]
    own = [line for line in found if line.get("request_id") == request_id]
    return sorted(own, key=lambda line: str(line.get("time")))


def _parsed(line: str) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def trim(log: Path) -> None:
    """Move a log that has grown large to `<name>.1`, replacing the one that stood there.

    Copied and emptied rather than renamed: its writers keep the file open and append.
    """
    if log.exists() and log.stat().st_size > LARGEST:
        kept = log.with_name(log.name + ".1")
        try:
            shutil.copyfile(log, kept)
        except OSError:  # no room for a copy: then none, and emptying makes room
            kept.unlink(missing_ok=True)
        with log.open("r+b") as file:
            file.truncate(0)


def follow(logs: Sequence[Path], pause: float = 0.3) -> Iterator[tuple[Path, str]]:
    """Each line that is written from now on, with the log it stands in; never ends."""
    places = {log: log.stat().st_size if log.exists() else 0 for log in logs}
    while True:
        for log in logs:
            size = log.stat().st_size if log.exists() else 0
            if size < places[log]:  # emptied by trim
                places[log] = 0
            if size == places[log]:
                continue
            with log.open("rb") as file:
                file.seek(places[log])
                fresh = file.read(size - places[log])
            whole = fresh.rpartition(b"\n")[0]
            if whole or fresh.startswith(b"\n"):
                places[log] += len(whole) + 1
                yield from ((log, line) for line in whole.decode("utf-8", "replace").split("\n"))
        time.sleep(pause)
