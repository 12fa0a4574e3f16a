"""Log files: their last lines, what is added to them, and a bound on their size."""

import json
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

LARGEST = 10 * 1024 * 1024
# Of each log; with the one that is written, all of them hold four times LARGEST.
KEPT = 3
_TAIL_BYTES = 64 * 1024
_COPY_BYTES = 1024 * 1024
_NUMBERED = re.compile("_([2-9])$")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def last_lines(log: Path, count: int, beyond: int = 0) -> list[str]:
    """At most *count* lines, of what stands in *log* after its first *beyond* bytes."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(beyond, log.stat().st_size - max(_TAIL_BYTES, count * 512)))
        return _lines(file.read())[-count:]


def harmless(text: str, keep: str = "") -> str:
    """*text* for a terminal: what would steer it is shown, not done, but for *keep*."""
    return _CONTROL.sub(lambda found: found[0] if found[0] in keep else ascii(found[0])[1:-1], text)


def of_request(logs: Sequence[Path], wanted: str) -> list[dict[str, Any]]:
    """What all *logs* say of a request or a trace, by its id, the oldest first.

    Those that were moved aside are read too. A line stands in two files where whoever moved it
    was killed over it; it is told once.
    """
    named = json.dumps(wanted)
    found: dict[str, Path] = {}
    for log in logs:
        for file in (*reversed(_kept(log)), log):
            if file.exists():
                with file.open(encoding="utf-8", errors="replace") as lines:
                    # Most lines are another request's: they are not worth parsing.
                    found |= dict.fromkeys((line for line in lines if named in line), log)
    own = [
        {**said, "service": f"{said.get('service', log.stem)}{_instance(log)}"}
        for line, log in found.items()
        if wanted in ((said := _parsed(line)).get("request_id"), said.get("trace_id"))
    ]
    return sorted(own, key=lambda line: str(line.get("timestamp")))


def is_of(stem: str, log: Path) -> bool:
    """Whether *log* is that of *stem*, or of another instance of it: `rag_service_2`."""
    return log.stem.removesuffix(_instance(log).replace("-", "_")) == stem


def _instance(log: Path) -> str:
    """`-2` for the log of the second instance, nothing for the first one's."""
    found = _NUMBERED.search(log.stem)
    return f"-{found[1]}" if found else ""


def _parsed(line: str) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _kept(log: Path) -> list[Path]:
    """Where earlier lines of *log* are, the latest first."""
    return [log.with_name(f"{log.name}.{number}") for number in range(1, KEPT + 1)]


def trim(log: Path) -> None:
    """Move a log that has grown large to `<name>.1`, what stood there to `<name>.2`, and so on.

    Copied and emptied rather than renamed: its writers keep the file open and append.
    """
    if not log.exists() or log.stat().st_size <= LARGEST:
        return
    kept = _kept(log)
    for newer, older in reversed(list(pairwise(kept))):
        with suppress(FileNotFoundError):
            newer.replace(older)
    draft = log.with_name(log.name + ".copy")
    with log.open("r+b") as file:
        try:
            with draft.open("wb") as copy:
                shutil.copyfileobj(file, copy, _COPY_BYTES)
                _empty(file, copy)
            draft.replace(kept[0])
        except OSError:  # no room for a copy: then none, and emptying makes room
            draft.unlink(missing_ok=True)
            file.truncate(0)


def _empty(file: IO[bytes], copy: IO[bytes]) -> None:
    """Cut *file* off once *copy* has all of it, also what came while it was copied."""
    while late := file.read(_COPY_BYTES):
        copy.write(late)
    copy.flush()
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
                yield from ((log, line) for line in _lines(whole))
        time.sleep(pause)


def _lines(text: bytes) -> list[str]:
    """Fit to be shown. Lines end where their writers end them: at line feeds alone."""
    shown = text.decode("utf-8", "replace").removesuffix("\n").split("\n")
    return [harmless(line, keep="\t") for line in shown] if text else []
