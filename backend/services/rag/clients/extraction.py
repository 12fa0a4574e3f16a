"""Have a file read by the extraction process, and kill that when it takes too long."""

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import backend
from backend.services.rag.clients.formats.kinds import Kind
from backend.services.rag.errors import ExtractionFailed

_log = logging.getLogger(__name__)
_ROOT = Path(backend.__file__).parents[1]
# So that a sentence never runs on into the next page's header.
PAGE_BREAK = "\n\n"

# Libraries reserve address space for each thread, of which the limit leaves little.
_ONE_ARENA = {"MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

# What a page takes on a slow and busy machine.
_SCAN_SECONDS = 120.0

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Extracted:
    """A file's text page by page. The whole text is the pages joined, breaks included."""

    title: str = ""
    paged: bool = False
    pages: list[str] = field(default_factory=list)
    # Positions in the whole text.
    headings: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one file may cost."""

    seconds: int = 120
    # What scanned pages may take besides, all together.
    ocr_seconds: int = 1800
    memory_bytes: int = 1536 * 2**20
    characters: int = 20_000_000


class Extractor:
    """Starts one process for each file."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._running: dict[subprocess.Popen[str], Path] = {}
        self._stopped = False

    def extract(
        self, file: Path, kind: Kind, progress: Progress, password: str | None = None
    ) -> Extracted:
        """The text of *file*, or ExtractionFailed with a reason for its owner."""
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            self._command(file, kind),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=_ROOT,
            # Nothing of our environment: it holds secrets.
            env={"PYTHONPATH": str(_ROOT), "PATH": os.defpath, "LANG": "C.UTF-8"} | _ONE_ARENA,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        self._running[process] = file
        if self._stopped:  # between the claim of the file and the start of its process
            process.kill()
        deadline = _Deadline(process, self._limits)
        try:
            _tell(process, password or "")
            return self._collect(process, deadline, progress)
        finally:
            deadline.cancel()
            process.kill()
            process.communicate()
            del self._running[process]

    def _command(self, file: Path, kind: Kind) -> list[str]:
        module = "backend.services.rag.clients.extraction_process"
        seconds = self._limits.seconds + self._limits.ocr_seconds
        limits = [str(self._limits.memory_bytes), str(seconds)]
        return [sys.executable, "-m", module, kind, str(file), *limits]

    def stop(self) -> None:
        """Kill what is being read, now and from now on: the service is going down."""
        self._stopped = True
        for process in tuple(self._running):
            process.kill()

    def cancel(self, file: Path) -> None:
        """Kill the process that reads *file*: nobody waits for its text any more."""
        for process, read in tuple(self._running.items()):
            if read == file:
                process.kill()

    def _collect(
        self, process: "subprocess.Popen[str]", deadline: "_Deadline", progress: Progress
    ) -> Extracted:
        extracted, length, total = Extracted(), 0, 0
        for line in process.stdout or ():
            said: dict[str, Any] = json.loads(line)
            if "error" in said:
                raise ExtractionFailed(said["error"], said["detail"])
            if "end" in said:
                return extracted
            if "total" in said:
                extracted.title, total = said["title"], said["total"]
                extracted.paged = total > 0
                continue
            if "scan" in said:
                deadline.allow_scan()
                continue
            page = said["text"] + PAGE_BREAK
            extracted.headings += [(length + at, title) for at, title in said["headings"]]
            extracted.pages.append(page)
            length += len(page)
            if length > self._limits.characters:
                raise ExtractionFailed("too_much_text", "This file holds more text than is read.")
            progress(len(extracted.pages), total or 1)
        _log.warning("extraction ended early, exit status %s", process.wait())
        if deadline.passed:
            raise ExtractionFailed("too_slow", "Reading this file took too long. Split it.")
        raise ExtractionFailed(
            "too_complex", "Reading this file needed too much memory, or it broke its reader."
        )


def _tell(process: "subprocess.Popen[str]", password: str) -> None:
    """Through its input: everybody on the machine may read a command line."""
    if process.stdin is not None:
        with suppress(BrokenPipeError), process.stdin:
            process.stdin.write(password)
        process.stdin = None


class _Deadline:
    """Ends the process when its time is up. Each scanned page adds some, to a bound."""

    def __init__(self, process: "subprocess.Popen[str]", limits: Limits) -> None:
        self._process = process
        self._ends = monotonic() + limits.seconds
        self._left_for_scans = float(limits.ocr_seconds)
        self.passed = False
        self._start()

    def allow_scan(self) -> None:
        more = min(_SCAN_SECONDS, self._left_for_scans)
        self._left_for_scans -= more
        self._ends += more
        self.cancel()
        self._start()

    def cancel(self) -> None:
        self._timer.cancel()

    def _start(self) -> None:
        self._timer = threading.Timer(max(0.0, self._ends - monotonic()), self._end)
        self._timer.start()

    def _end(self) -> None:
        self.passed = True
        self._process.kill()
