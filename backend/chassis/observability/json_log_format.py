"""How a line of a log is written: JSON, and fit for any reader."""

import json
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

# JSON itself leaves these as they are: they end lines for some readers, steer terminals, turn the
# direction of text round, or cannot be written as UTF-8.
_UNRULY: Final = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def one_line(values: Mapping[str, object]) -> str:
    """*values* as a JSON object. What stands in them can neither break a line nor forge one."""
    written = json.dumps(values, ensure_ascii=False, default=str)
    return _UNRULY.sub(lambda found: f"\\u{ord(found[0]):04x}", written)


def timestamp(seconds: float) -> str:
    """A moment of the epoch as RFC 3339 has it, in UTC."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def append_log_line(log: Path, service: str, message: str, level: str = "info") -> None:
    """Append *message* to the file *log* as a JSON line of *service*.

    A write error, such as a full disk, is ignored: logging must not stop the caller.
    """
    fields = {"timestamp": timestamp(time.time()), "level": level, "service": service}
    with suppress(OSError), log.open("ab") as file:
        file.write((one_line(fields | {"message": message}) + "\n").encode())
