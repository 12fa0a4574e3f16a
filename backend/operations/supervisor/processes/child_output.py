"""Convert plain-text output of child processes to JSON log lines."""

import json
import re
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO

from backend.chassis.observability.json_log_format import append_log_line

_MAX_LINE_BYTES = 16_000
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_readers: list[threading.Thread] = []


def convert_output(output: IO[bytes], log: Path, service: str) -> None:
    """Append *output* to *log* as JSON lines of *service*, in a thread, until it is closed."""
    reader = threading.Thread(target=_read_lines, args=(output, log, service), daemon=True)
    reader.start()
    _readers.append(reader)


def wait_for_readers(seconds: float) -> None:
    """Wait up to *seconds* for each reader, so that the last output of processes is logged."""
    for reader in _readers:
        reader.join(seconds)
    _readers.clear()


def _read_lines(output: IO[bytes], log: Path, service: str) -> None:
    with output:
        while line := output.readline(_MAX_LINE_BYTES):
            text = _COLOURS.sub("", line.decode("utf-8", "replace")).strip()
            if _is_json(text):
                with suppress(OSError), log.open("ab") as file:
                    file.write(line)
            elif any(character.isalnum() for character in text):  # skip decoration
                append_log_line(log, service, text)


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
