"""The process that reads one uploaded file, under limits, and is thrown away.

    python -m backend.services.rag.clients.extraction_process KIND FILE MEMORY_BYTES SECONDS

Files come from strangers and parsers have faults. So this process holds no secret, may not
write a file, grow or run beyond its limits, and talks through its output alone: one JSON line
for each page as it is read. Its input is the password that opens the file, where there is one.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from backend.chassis.parent_death_signal import die_with_parent
from backend.services.rag.clients.formats.kinds import IMAGES, LOCKABLE
from backend.services.rag.clients.formats.page import SCAN, Content, Unreadable, cleaned, one_line

_READERS: dict[str, tuple[str, str]] = {
    "pdf": ("pdf", "read"),
    "docx": ("docx", "read"),
    "pptx": ("pptx", "read"),
    "xlsx": ("xlsx", "read"),
    "html": ("html", "read"),
    "markdown": ("plain", "read_markdown"),
    "csv": ("plain", "read_csv"),
    "json": ("records", "read_json"),
    "jsonl": ("records", "read_lines"),
    "email": ("mail", "read"),
    "text": ("plain", "read_text"),
    **dict.fromkeys(IMAGES, ("images", "read")),
}


def main() -> None:
    die_with_parent(os.getppid())
    kind, file, memory, seconds = sys.argv[1:]
    _limit(int(memory), int(seconds))
    try:
        password = sys.stdin.read()
        read = _reader(kind)
        content = read(Path(file), password) if kind in LOCKABLE else read(Path(file))
        _say({"title": one_line(content.title), "total": content.total})
        for page in content.pages:
            if page is SCAN:
                _say({"scan": True})
                continue
            kept = cleaned(page)
            _say({"text": kept.text, "headings": kept.headings})
        _say({"end": True})
    except Unreadable as error:
        _say({"error": error.code, "detail": str(error)})
    except MemoryError:
        _say({"error": "too_complex", "detail": "Reading this file needs too much memory."})


def _reader(kind: str) -> Callable[..., Content]:
    module, function = _READERS[kind]
    # Each format's libraries are loaded only for a file of it.
    found: Callable[..., Content] = getattr(
        import_module(f"backend.services.rag.clients.formats.{module}"), function
    )
    return found


def _limit(memory: int, seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Ends this process even where its parent was killed and nobody waits any more.
    signal.alarm(seconds)


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
