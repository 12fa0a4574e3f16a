"""Render pages of PDFs and find quotes on them, in bounded processes.

Each request runs in an extraction process of its own: files are untrusted, and pdfium may need any
amount of time and memory for a hostile one.
"""

import json
import threading
from base64 import b64decode
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from backend.services.rag.errors import PagePasswordRequired, PageRenderingBusy, PageUnavailable
from backend.services.rag.extraction.parser_processes import (
    ParserProcess,
    ParserProcesses,
    SpawnedProcesses,
)
from backend.services.rag.extraction.process import PAGE_VIEW

_MAX_RUNNING = 2
_MAX_WAITING = 16
_MAX_WAIT_SECONDS = 30.0
_TIMEOUT_SECONDS = 15
# The process ends itself after the timeout. It is killed if even that fails.
_KILL_SECONDS = _TIMEOUT_SECONDS + 3.0
_MAX_MEMORY_BYTES = 1024 * 2**20
# A PNG of 12 megapixels that hardly compresses, in base64.
_MAX_ANSWER_CHARACTERS = 64 * 2**20
_PASSWORD_ERRORS = ("password_required", "wrong_password")
# The server from which processes are forked holds 50 MB. It is ended when it is not used.
_IDLE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class PageGeometry:
    """The size of a page in points, the number of pages, and boxes as fractions of the page."""

    pages: int
    width: float
    height: float
    boxes: list[tuple[float, float, float, float]]
    exact: bool
    coverage: float


class PageViewer:
    """Renders pages and finds quotes: two at a time, with a queue of 16 requests."""

    def __init__(self, processes: ParserProcesses | None = None) -> None:
        self._processes = processes or SpawnedProcesses()
        self._slots = threading.BoundedSemaphore(_MAX_RUNNING)
        self._lock = threading.Lock()
        self._waiting = 0
        self._running = 0
        self._used_at = 0.0
        self._idle_timer: threading.Timer | None = None

    def render_page(
        self, file: Path, page: int, width: int, image_format: str, password: str | None = None
    ) -> bytes:
        """Return the image of *page* (from 1), *width* pixels wide, as `webp` or `png`.

        Raises:
            PagePasswordRequired: *password* does not open the PDF.
            PageUnavailable: the page cannot be rendered within the limits.
            PageRenderingBusy: too many requests are waiting.
        """
        request = {"page": page, "width": width, "format": image_format, "password": password}
        answer = self._send_request(file, request)
        return b64decode(answer["image"])

    def find_quote(
        self,
        file: Path,
        page: int,
        text: str | None,
        start: int,
        end: int,
        password: str | None = None,
    ) -> PageGeometry:
        """Return the geometry of *page*, with the boxes of the characters *start* to *end*.

        Args:
            file: the PDF.
            page: number of the page, from 1.
            text: stored text of the page, or None for no boxes.
            start: position of the quote's first character in *text*.
            end: position after its last character.
            password: opens the PDF if it is encrypted.

        Raises:
            PagePasswordRequired: *password* does not open the PDF.
            PageUnavailable: the page cannot be read within the limits.
            PageRenderingBusy: too many requests are waiting.
        """
        request = {"page": page, "text": text, "start": start, "end": end, "password": password}
        answer = self._send_request(file, request)
        return PageGeometry(
            pages=answer["pages"],
            width=answer["width"],
            height=answer["height"],
            boxes=[tuple(box) for box in answer["boxes"]],
            exact=answer["exact"],
            coverage=answer["coverage"],
        )

    def close(self) -> None:
        """End the server that keeps the imports of the processes."""
        self._processes.close()

    def _send_request(self, file: Path, request: dict[str, Any]) -> dict[str, Any]:
        self._acquire_slot()
        try:
            return self._run_process(file, request)
        finally:
            self._release_slot()

    def _acquire_slot(self) -> None:
        with self._lock:
            if self._waiting >= _MAX_WAITING:
                raise PageRenderingBusy
            self._waiting += 1
        try:
            if not self._slots.acquire(timeout=_MAX_WAIT_SECONDS):
                raise PageRenderingBusy
        finally:
            with self._lock:
                self._waiting -= 1
        with self._lock:
            self._running += 1

    def _release_slot(self) -> None:
        self._slots.release()
        with self._lock:
            self._running -= 1
            self._used_at = monotonic()
            if self._idle_timer is None:
                self._start_idle_timer(_IDLE_SECONDS)

    def _start_idle_timer(self, seconds: float) -> None:
        self._idle_timer = threading.Timer(seconds, self._close_if_idle)
        self._idle_timer.daemon = True
        self._idle_timer.start()

    def _close_if_idle(self) -> None:
        with self._lock:
            self._idle_timer = None
            remaining = self._used_at + _IDLE_SECONDS - monotonic()
            if self._running or remaining > 0:
                self._start_idle_timer(max(1.0, remaining))
                return
        self._processes.close()

    def _run_process(self, file: Path, request: dict[str, Any]) -> dict[str, Any]:
        limits = [str(_MAX_MEMORY_BYTES), str(_TIMEOUT_SECONDS)]
        process = self._processes.start([PAGE_VIEW, str(file), *limits])
        timer = threading.Timer(_KILL_SECONDS, process.kill)
        timer.daemon = True
        timer.start()
        try:
            line = _exchange(process, request)
        finally:
            timer.cancel()
            process.close()
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:  # the process was ended by one of its limits, or pdfium crashed
            raise PageUnavailable("too_complex") from None
        if answer.get("error") in _PASSWORD_ERRORS:
            raise PagePasswordRequired(is_wrong=request["password"] is not None)
        if "error" in answer:
            raise PageUnavailable(answer["error"])
        return answer


def _exchange(process: ParserProcess, request: dict[str, Any]) -> str:
    with suppress(BrokenPipeError), process.stdin:
        process.stdin.write(json.dumps(request))
    return process.stdout.readline(_MAX_ANSWER_CHARACTERS)
