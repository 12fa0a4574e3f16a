"""What is said in plain lines, by programs that are not ours and by ourselves, as JSON lines."""

import json
import re
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO

from backend.chassis.observability.json_log_format import append_log_line

_LONGEST = 16_000
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_listeners: list[threading.Thread] = []


def take_down(words: IO[bytes], log: Path, service: str) -> None:
    """Note in *log* whatever *words* bring, until they end."""
    listener = threading.Thread(target=_listen, args=(words, log, service), daemon=True)
    listener.start()
    _listeners.append(listener)


def settle(seconds: float) -> None:
    """Wait until the last words of those that have ended are noted."""
    for listener in _listeners:
        listener.join(seconds)
    _listeners.clear()


def _listen(words: IO[bytes], log: Path, service: str) -> None:
    with words:
        while line := words.readline(_LONGEST):
            text = _COLOURS.sub("", line.decode("utf-8", "replace")).strip()
            if _is_json(text):
                with suppress(OSError), log.open("ab") as file:
                    file.write(line)
            elif any(character.isalnum() for character in text):  # else it is decoration
                append_log_line(log, service, text)


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
