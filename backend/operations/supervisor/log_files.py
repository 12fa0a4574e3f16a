"""Log files: read the last lines, follow, search by request, rotate by size."""

import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

from backend.chassis.console import CommandError
from backend.chassis.observability.ecs_log_format import parse_log_line
from backend.chassis.observability.json_log_format import escape_control_characters

# Number of rotated files that are kept of each log. With the current file, they have at most
# four times LOG_MAX_MB.
ROTATED_FILES = 3
_TAIL_BYTES = 64 * 1024
_COPY_BYTES = 1024 * 1024
_NUMBERED = re.compile("_([2-9])$")


def explain_unwritable_folder(folder: Path) -> str | None:
    """Return why no log can be written to *folder*, or None. The folder need not exist yet."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        return f"{existing} is not a folder"
    if not os.access(existing, os.W_OK | os.X_OK):
        return f"this user may not write to {existing}"
    return None


def create_log_folder(folder: Path) -> None:
    """Create *folder*. Raises CommandError if no log can be written to it."""
    problem = explain_unwritable_folder(folder)
    if problem is None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            problem = error.strerror or str(error)
    if problem is not None:
        raise CommandError(
            f"No log can be written to {folder}: {problem}. Correct the permissions, or set "
            "LOG_DIR to another folder."
        )


def read_last_lines(log: Path, count: int, offset: int = 0) -> list[str]:
    """Return the last lines of *log*, at most *count*, ignoring its first *offset* bytes."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(offset, log.stat().st_size - max(_TAIL_BYTES, count * 512)))
        return _decode_lines(file.read())[-count:]


def find_request_lines(logs: Sequence[Path], request_id: str) -> list[dict[str, Any]]:
    """Return the parsed lines with this request id or trace id, oldest first.

    Rotated files are searched too. After an interrupted rotation a line may exist in two files; it
    is returned once.
    """
    quoted_id = json.dumps(request_id)
    source_by_line: dict[str, Path] = {}
    for log in logs:
        for file in (*reversed(_rotated_files(log)), log):
            if file.exists():
                with file.open(encoding="utf-8", errors="replace") as lines:
                    # Compare text first: most lines belong to other requests.
                    matches = (line for line in lines if quoted_id in line)
                    source_by_line |= dict.fromkeys(matches, log)
    entries = [
        {**entry, "service": f"{entry.get('service', log.stem)}{_instance_suffix(log)}"}
        for line, log in source_by_line.items()
        if request_id in ((entry := parse_log_line(line)).get("request_id"), entry.get("trace_id"))
    ]
    return sorted(entries, key=lambda entry: str(entry.get("timestamp")))


def belongs_to(stem: str, log: Path) -> bool:
    """Return whether *log* is that of *stem* or of a further instance, such as `rag_service_2`."""
    return log.stem.removesuffix(_instance_suffix(log).replace("-", "_")) == stem


def _instance_suffix(log: Path) -> str:
    """Return `-2` for the log of the second instance, "" for the first."""
    match = _NUMBERED.search(log.stem)
    return f"-{match[1]}" if match else ""


def _rotated_files(log: Path) -> list[Path]:
    """Return the paths of the rotated files of *log*, newest first."""
    return [log.with_name(f"{log.name}.{number}") for number in range(1, ROTATED_FILES + 1)]


def rotate_log(log: Path, max_bytes: int) -> None:
    """Move a log larger than *max_bytes* to `<name>.1`, the previous `.1` to `.2`, and so on.

    The file is copied and truncated instead of renamed, because its writers keep it open.
    """
    if not log.exists() or log.stat().st_size <= max_bytes:
        return
    rotated = _rotated_files(log)
    for newer, older in reversed(list(pairwise(rotated))):
        with suppress(FileNotFoundError):
            newer.replace(older)
    draft = log.with_name(log.name + ".copy")
    with log.open("r+b") as file:
        try:
            with draft.open("wb") as copy:
                shutil.copyfileobj(file, copy, _COPY_BYTES)
                _copy_rest_and_truncate(file, copy)
            draft.replace(rotated[0])
        except OSError:  # no space for a copy: discard the log to free space
            draft.unlink(missing_ok=True)
            file.truncate(0)


def _copy_rest_and_truncate(file: IO[bytes], copy: IO[bytes]) -> None:
    """Copy what was appended during the copy, then truncate *file*."""
    while data := file.read(_COPY_BYTES):
        copy.write(data)
    copy.flush()
    file.truncate(0)


def follow_logs(logs: Sequence[Path], poll_seconds: float = 0.3) -> Iterator[tuple[Path, str]]:
    """Yield each new line with its log; never ends."""
    offsets = {log: log.stat().st_size if log.exists() else 0 for log in logs}
    while True:
        for log in logs:
            size = log.stat().st_size if log.exists() else 0
            if size < offsets[log]:  # rotated
                offsets[log] = 0
            if size == offsets[log]:
                continue
            with log.open("rb") as file:
                file.seek(offsets[log])
                data = file.read(size - offsets[log])
            complete = data.rpartition(b"\n")[0]
            if complete or data.startswith(b"\n"):
                offsets[log] += len(complete) + 1
                yield from ((log, line) for line in _decode_lines(complete))
        time.sleep(poll_seconds)


def _decode_lines(text: bytes) -> list[str]:
    """Decode and escape lines for a terminal. Only line feeds end a line."""
    lines = text.decode("utf-8", "replace").removesuffix("\n").split("\n")
    return [escape_control_characters(line, keep="\t") for line in lines] if text else []
