"""Convert plain-text output of child processes to JSON log lines."""

import json
import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from backend.chassis.observability.json_log_format import LogFormat, append_log_line

_MAX_LINE_BYTES = 16_000
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_readers: list[threading.Thread] = []


def convert_output(output: IO[bytes], log: Path, service: str, log_format: LogFormat) -> None:
    """Append *output* to *log* as JSON lines of *service*, in a thread, until it is closed."""
    arguments = (output, log, service, log_format)
    reader = threading.Thread(target=_read_lines, args=arguments, daemon=True)
    reader.start()
    _readers.append(reader)


def get_log_format(environment: Mapping[str, str]) -> LogFormat:
    """Return the format of log lines that LOG_FORMAT selects in *environment*."""
    return "ecs" if environment.get("LOG_FORMAT", "").strip().lower() == "ecs" else "json"


def wait_for_readers(seconds: float) -> None:
    """Wait up to *seconds* for each reader, so that the last output of processes is logged."""
    for reader in _readers:
        reader.join(seconds)
    _readers.clear()


def _read_lines(output: IO[bytes], log: Path, service: str, log_format: LogFormat) -> None:
    with output:
        while line := output.readline(_MAX_LINE_BYTES):
            text = _COLOURS.sub("", line.decode("utf-8", "replace")).strip()
            if _is_json(text):
                with suppress(OSError), log.open("ab") as file:
                    file.write(line)
            elif any(character.isalnum() for character in text):  # skip decoration
                append_log_line(log, service, text, log_format=log_format)


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
