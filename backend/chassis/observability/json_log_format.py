"""Format of a log line: one JSON object that is safe to print on a terminal.

Only the standard library is imported: the supervisor uses it before any package is installed.
"""

import json
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from backend.chassis.observability.ecs_log_format import to_ecs

LogFormat = Literal["json", "ecs"]
"""Names of the fields of JSON lines: our own, or those of the Elastic Common Schema."""

# Characters that json.dumps does not escape: line separators, control characters that a terminal
# executes, marks that change the direction of text, and surrogates, which UTF-8 cannot encode.
_UNSAFE_CHARACTERS: Final = re.compile(
    "[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_CONTROL_CHARACTERS: Final = re.compile("[\x00-\x1f]")


# Built once: json.dumps builds one for each line.
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, default=str)


def escape_control_characters(text: str, keep: str = "") -> str:
    """Escape the characters in *text* that control a terminal or end a line, except *keep*."""
    escaped = _escape_unsafe_characters(text)
    return _CONTROL_CHARACTERS.sub(
        lambda match: match[0] if match[0] in keep else f"\\x{ord(match[0]):02x}", escaped
    )


def format_json_line(values: Mapping[str, object], log_format: LogFormat = "json") -> str:
    """Return *values* as a JSON object on one line, without control characters."""
    named_values = to_ecs(values) if log_format == "ecs" else values
    return _escape_unsafe_characters(_ENCODER.encode(named_values))


def _escape_unsafe_characters(text: str) -> str:
    if text.isascii() and "\x7f" not in text:
        return text
    return _UNSAFE_CHARACTERS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def format_timestamp(seconds: float) -> str:
    """Return *seconds* since the epoch in RFC 3339 format: UTC with milliseconds."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def append_log_line(
    log: Path, service: str, message: str, level: str = "info", log_format: LogFormat = "json"
) -> None:
    """Append *message* to the file *log* as a JSON line of *service*.

    A write error, such as a full disk, is ignored: logging must not stop the caller.
    """
    fields = {"timestamp": format_timestamp(time.time()), "level": level, "service": service}
    line = format_json_line(fields | {"message": message}, log_format)
    with suppress(OSError), log.open("ab") as file:
        file.write(f"{line}\n".encode())
