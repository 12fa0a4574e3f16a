"""Output of command-line programs to the terminal."""

import contextlib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from backend.chassis.observability.json_log_format import LogFormat, append_log_line


class CommandError(Exception):
    """A command cannot continue. The message says why and what the user can do."""


_log_copy: tuple[Path, LogFormat] | None = None


def copy_to_log(log: Path, log_format: LogFormat) -> None:
    """Append everything printed from now on to the file *log* as well, in *log_format*."""
    global _log_copy
    _log_copy = log, log_format


def print_line(text: str = "") -> None:
    """Print a line and flush it. A closed terminal or a full disk is ignored."""
    if _log_copy is not None and text.strip():
        log, log_format = _log_copy
        append_log_line(log, "supervisor", text.strip(), log_format=log_format)
    with contextlib.suppress(OSError):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def format_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return *rows* below *headers*, in left-aligned columns indented by two spaces."""
    cells = [[str(cell) for cell in row] for row in (headers, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    )
    return "\n".join(f"  {line.rstrip()}" for line in lines)
