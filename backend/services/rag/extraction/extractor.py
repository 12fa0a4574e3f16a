"""Start an extraction process per file, collect its output, and kill it at its deadline."""

import json
import logging
import threading
from base64 import b64decode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

from backend.services.rag.errors import ExtractionFailed
from backend.services.rag.extraction.document_types import DocumentType
from backend.services.rag.extraction.parser_processes import (
    ParserProcess,
    ParserProcesses,
    SpawnedProcesses,
)

_log = logging.getLogger(__name__)
# A blank line, so that a sentence at the end of a page never joins the header of the next page.
PAGE_BREAK = "\n\n"

# Maximum time for OCR of one page, enough for a slow and busy machine.
_OCR_PAGE_SECONDS = 120.0

# Called with the number of parsed pages and the total number of pages.
ProgressCallback = Callable[[int, int], None]


class AttachmentSink(Protocol):
    """Receives the attachments of a file one after the other."""

    def start_attachment(
        self, filename: str, media_type: str, size_bytes: int, error_code: str | None
    ) -> None:
        """Begin the next attachment. If *error_code* is given, no content follows."""

    def write(self, data: bytes) -> object:
        """Receive the next part of the content."""


@dataclass(slots=True)
class ExtractedText:
    """Text of a file by page. The full text is the concatenation of the pages with their breaks."""

    title: str = ""
    # False for formats without pages, whose text is a single page.
    has_pages: bool = False
    pages: list[str] = field(default_factory=list)
    # (position in the full text, title).
    headings: list[tuple[int, str]] = field(default_factory=list)
    # Numbers of the pages, from 1, in a script that OCR cannot read.
    unread_pages: list[int] = field(default_factory=list)
    # By page number from 1, the lines that OCR recognized, as in `content.RecognizedLine`.
    lines: dict[int, list[list[Any]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExtractionLimits:
    """Limits on the resources for one file."""

    timeout_seconds: int = 120
    # Additional time for OCR of all scanned pages together.
    ocr_timeout_seconds: int = 1800
    max_memory_bytes: int = 1536 * 2**20
    max_characters: int = 20_000_000


class Extractor:
    """Extracts the text of files, each in a process of its own."""

    def __init__(self, limits: ExtractionLimits, processes: ParserProcesses | None = None) -> None:
        self._limits = limits
        self._processes = processes or SpawnedProcesses()
        self._running: dict[ParserProcess, Path] = {}
        self._stopped = False

    def prepare(self, document_type: DocumentType) -> None:
        """Begin to load what the extraction of a file needs, without waiting for it."""
        self._processes.prepare(document_type.name)

    def extract_text(
        self,
        file: Path,
        document_type: DocumentType,
        on_progress: ProgressCallback,
        password: str | None = None,
        attachments: AttachmentSink | None = None,
    ) -> ExtractedText:
        """Return the text of *file*, and send its attachments to *attachments*.

        Raises:
            ExtractionFailed: the file cannot be read within the limits; its message is for the
                owner of the file.
            OSError: the process could not be started, or it ended without its file being the cause.
        """
        process = self._processes.start(self._build_arguments(file, document_type))
        self._running[process] = file
        if self._stopped:  # stopped after the document was claimed and before its process started
            process.kill()
        deadline = _Deadline(process, self._limits)
        try:
            _send_password(process, password or "")
            return self._collect_output(process, deadline, on_progress, attachments)
        finally:
            deadline.cancel()
            process.close()
            del self._running[process]

    def _build_arguments(self, file: Path, document_type: DocumentType) -> list[str]:
        timeout_seconds = self._limits.timeout_seconds + self._limits.ocr_timeout_seconds
        limits = [str(self._limits.max_memory_bytes), str(timeout_seconds)]
        return [document_type.name, str(file), *limits]

    def stop(self) -> None:
        """Kill all extraction processes, and kill those that are started later at their start."""
        self._stopped = True
        for process in tuple(self._running):
            process.kill()
        self._processes.close()

    def cancel_extraction(self, file: Path) -> None:
        """Kill the processes that extract *file*."""
        for process, running_file in tuple(self._running.items()):
            if running_file == file:
                process.kill()

    def _collect_output(
        self,
        process: ParserProcess,
        deadline: "_Deadline",
        on_progress: ProgressCallback,
        attachments: AttachmentSink | None,
    ) -> ExtractedText:
        extracted, length, page_count = ExtractedText(), 0, 0
        for line in process.stdout:
            message: dict[str, Any] = json.loads(line)
            if "error" in message:
                raise ExtractionFailed(message["error"], message["detail"])
            if "end" in message:
                return extracted
            if "page_count" in message:
                extracted.title, page_count = message["title"], message["page_count"]
                extracted.has_pages = page_count > 0
                continue
            if "ocr_started" in message:
                deadline.extend_for_ocr()
                continue
            if "unread_script" in message:
                extracted.unread_pages.append(len(extracted.pages) + 1)
                continue
            if "attachment" in message or "attachment_part" in message:
                if attachments is not None:
                    _pass_attachment(message, attachments)
                continue
            if message["lines"]:
                extracted.lines[len(extracted.pages) + 1] = message["lines"]
            page = message["text"] + PAGE_BREAK
            extracted.headings += [
                (length + position, title) for position, title in message["headings"]
            ]
            extracted.pages.append(page)
            length += len(page)
            if length > self._limits.max_characters:
                raise ExtractionFailed(
                    "too_much_text",
                    "The file contains more text than the limit of "
                    f"{self._limits.max_characters:,} characters. Split it.",
                )
            on_progress(len(extracted.pages), page_count or 1)
        _log.warning("an extraction process ended early")
        if deadline.has_passed:
            raise ExtractionFailed("too_slow", "Processing the file took too long. Split it.")
        if self._processes.has_failed():
            raise ConnectionError("The extraction server has ended.")
        raise ExtractionFailed(
            "too_complex", "Processing the file needed too much memory, or its parser crashed."
        )


def _pass_attachment(message: dict[str, Any], attachments: AttachmentSink) -> None:
    if "attachment_part" in message:
        attachments.write(b64decode(message["attachment_part"]))
        return
    attachments.start_attachment(
        message["attachment"],
        message["media_type"],
        message["size_bytes"],
        message["attachment_error"],
    )


def _send_password(process: ParserProcess, password: str) -> None:
    """Write the password to standard input: command lines are visible to all local users."""
    with suppress(BrokenPipeError), process.stdin:
        process.stdin.write(password)


class _Deadline:
    """Kills the process when its time is up. Each scanned page extends it, up to a limit."""

    def __init__(self, process: ParserProcess, limits: ExtractionLimits) -> None:
        self._process = process
        self._ends_at = monotonic() + limits.timeout_seconds
        self._ocr_seconds_left = float(limits.ocr_timeout_seconds)
        self.has_passed = False
        self._start_timer()

    def extend_for_ocr(self) -> None:
        extension = min(_OCR_PAGE_SECONDS, self._ocr_seconds_left)
        self._ocr_seconds_left -= extension
        self._ends_at += extension
        self.cancel()
        self._start_timer()

    def cancel(self) -> None:
        self._timer.cancel()

    def _start_timer(self) -> None:
        self._timer = threading.Timer(max(0.0, self._ends_at - monotonic()), self._expire)
        self._timer.start()

    def _expire(self) -> None:
        self.has_passed = True
        self._process.kill()
