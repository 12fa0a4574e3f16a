"""The extraction process: parses one untrusted file under resource limits, then exits.

    python -m backend.services.rag.extraction.process TYPE FILE MAX_MEMORY_BYTES TIMEOUT_SECONDS

TYPE is a document type, or `page-view`.

Uploaded files are untrusted and parsers have vulnerabilities. Therefore this process holds no
secrets, cannot write files, cannot exceed its limits, and communicates only through standard
output: one JSON line per page as soon as the page is parsed, then the attachments. It reads the
password of the file from standard input, which is empty without a password.
"""

import json
import os
import sys
from base64 import b64encode
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from backend.chassis.parent_death_signal import die_with_parent
from backend.chassis.process_limits import set_process_limits
from backend.services.rag.extraction.content import (
    MAX_ATTACHMENT_BYTES,
    MAX_ATTACHMENTS,
    Attachment,
    Content,
    PageSignal,
    UnreadableFile,
    clean_page,
    normalize_title,
)
from backend.services.rag.extraction.document_types import DocumentType, get_document_type

_ATTACHMENT_PART_BYTES = 2**20
_PACKAGE = "backend.services.rag.extraction"
_PAGE_VIEW_MODULE = f"{_PACKAGE}.pdf.page_view"
PAGE_VIEW = "page-view"
"""Type of processes that render a page of a PDF, or find the boxes of a quote on it."""


def run(type_name: str, file: str, max_memory_bytes: str, timeout_seconds: str) -> None:
    """Parse *file* under the limits and write its content to standard output."""
    set_process_limits(int(max_memory_bytes), int(timeout_seconds))
    if type_name == PAGE_VIEW:
        _answer_page_request(file)
        return
    try:
        password = sys.stdin.read()
        content = _parse(get_document_type(type_name), Path(file), password)
        title = normalize_title(content.title)
        _write_line({"title": title, "page_count": content.page_count})
        for page in content.pages:
            if isinstance(page, PageSignal):
                _write_line({page.name.lower(): True})
                continue
            cleaned = clean_page(page)
            _write_line(
                {"text": cleaned.text, "headings": cleaned.headings, "lines": cleaned.lines}
            )
        _write_attachments(content.attachments)
        _write_line({"end": True})
    except UnreadableFile as error:
        _write_line({"error": error.code, "detail": str(error)})
    except MemoryError:
        _write_line(
            {"error": "too_complex", "detail": "Processing the file needs too much memory."}
        )


def preload(type_name: str) -> None:
    """Import the modules that processes of *type_name* need."""
    if type_name == PAGE_VIEW:
        import_module(_PAGE_VIEW_MODULE)
    else:
        import_parser(type_name)


def _answer_page_request(file: str) -> None:
    """Read a request for a page of the PDF *file* as JSON, and write the answer as a line."""
    module = import_module(_PAGE_VIEW_MODULE)
    try:
        _write_line(module.answer_request(Path(file), json.load(sys.stdin)))
    except UnreadableFile as error:
        _write_line({"error": error.code})
    except MemoryError:
        _write_line({"error": "too_complex"})


def _write_attachments(attachments: Sequence[Attachment]) -> None:
    """Write each attachment as a line with its name and lines with parts of its content."""
    for number, attachment in enumerate(attachments):
        size_bytes, error = len(attachment.content), None
        if number >= MAX_ATTACHMENTS:
            error = "too_many_attachments"
        elif size_bytes > MAX_ATTACHMENT_BYTES:
            error = "attachment_too_large"
        _write_line(
            {
                "attachment": attachment.filename,
                "media_type": attachment.media_type,
                "size_bytes": size_bytes,
                "attachment_error": error,
            }
        )
        for start in range(0, 0 if error else size_bytes, _ATTACHMENT_PART_BYTES):
            part = attachment.content[start : start + _ATTACHMENT_PART_BYTES]
            _write_line({"attachment_part": b64encode(part).decode("ascii")})


def _parse(document_type: DocumentType, file: Path, password: str) -> Content:
    parse = import_parser(document_type.name)
    return parse(file, password) if document_type.accepts_password else parse(file)


def import_parser(type_name: str) -> Callable[..., Content]:
    """Import the parser of one type only: the libraries of the others cost time and memory."""
    module, function = get_document_type(type_name).parser.split(":")
    parse: Callable[..., Content] = getattr(import_module(f"{_PACKAGE}.{module}"), function)
    return parse


def _write_line(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    die_with_parent(os.getppid())
    run(*sys.argv[1:])
