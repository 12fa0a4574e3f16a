"""The process that reads one uploaded file, under limits, and is thrown away.

    python -m backend.services.rag.clients.extraction_process KIND FILE MEMORY_BYTES SECONDS

Files come from strangers and parsers have faults. So this process holds no secret, may not
write a file, grow or run beyond its limits, and talks through its output alone: one JSON line
for each page as it is read.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from backend.chassis.lifeline import die_with_parent
from backend.services.rag.clients.formats.page import Page, Unreadable, cleaned, one_line


def main() -> None:
    die_with_parent(os.getppid())
    kind, file, memory, seconds = sys.argv[1:]
    _limit(int(memory), int(seconds))
    try:
        title, total, pages = _read(kind, Path(file))
        _say({"title": one_line(title), "total": total})
        for page in map(cleaned, pages):
            _say({"text": page.text, "headings": page.headings})
        _say({"end": True})
    except Unreadable as error:
        _say({"error": error.code, "detail": str(error)})
    except MemoryError:
        _say({"error": "too_complex", "detail": "Reading this file needs too much memory."})


def _read(kind: str, file: Path) -> tuple[str, int, Iterable[Page]]:
    # Each format's libraries are loaded only for a file of it.
    if kind == "pdf":
        from backend.services.rag.clients.formats import pdf

        return pdf.read(file)
    return _unpaged(*_read_whole(kind, file))


def _read_whole(kind: str, file: Path) -> tuple[str, Page]:
    if kind == "docx":
        from backend.services.rag.clients.formats import docx

        return docx.read(file)
    if kind == "html":
        from backend.services.rag.clients.formats import html

        return html.read(file)
    from backend.services.rag.clients.formats import plain

    return plain.read_markdown(file) if kind == "markdown" else ("", plain.read_text(file))


def _unpaged(title: str, page: Page) -> tuple[str, int, Iterator[Page]]:
    return title, 0, iter([page])


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
