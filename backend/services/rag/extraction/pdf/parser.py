"""Parser of PDF files. Uses pdfium, which is fast, and falls back to pypdf if pdfium fails."""

import re
from collections.abc import Iterator
from pathlib import Path

import pypdfium2
from pypdfium2 import PdfiumError

from backend.services.rag.extraction.content import (
    OCR_STARTED,
    UNREAD_SCRIPT,
    Content,
    Page,
    PageSignal,
    UnreadableFile,
)
from backend.services.rag.extraction.pdf.documents import open_document
from backend.services.rag.extraction.pdf.page_text import extract_page_text
from backend.services.rag.extraction.pdf.scans import needs_ocr, recognize_page

# Placeholders and file names that programs write into the title field.
_PLACEHOLDER_TITLE = re.compile(
    r"untitled|microsoft word|\.(docx?|indd|tex|dvi|pdf|pptx?|qxd)$|^\W*$", re.I
)


def parse_pdf(file: Path, password: str = "") -> Content:
    """Return the pages of *file*, their number, and the title unless it is a placeholder."""
    try:
        document = open_document(file, password or None)
    except PdfiumError as error:
        # pdfium does not support non-ASCII passwords of the older encryption; pypdf does.
        if "password" in str(error).lower() and password.isascii():
            raise _password_error(password) from error
        return _parse_with_pypdf(file, password)
    if len(document) == 0:
        return _parse_with_pypdf(file, password)
    title = document.get_metadata_value("Title") or ""
    return Content(_iterate_pages(document), _without_placeholder(title), len(document))


def _iterate_pages(document: pypdfium2.PdfDocument) -> Iterator[Page | PageSignal]:
    outline = _read_outline(document)
    for number in range(len(document)):
        text, lines = "", []
        try:
            page = document[number]
            text = extract_page_text(page)
            if needs_ocr(page, text):
                yield OCR_STARTED
                recognized = recognize_page(page)
                if recognized.is_unread:
                    yield UNREAD_SCRIPT
                if recognized.text:
                    text, lines = recognized.text, recognized.lines
            page.close()
        except PdfiumError:
            pass  # skip a damaged page, keep the rest of the document
        yield Page(text, _locate_headings(text, outline.get(number, [])), lines)


def _read_outline(document: pypdfium2.PdfDocument) -> dict[int, list[str]]:
    """Return the titles of the outline by the index of the page they point to."""
    titles: dict[int, list[str]] = {}
    try:
        for entry in document.get_toc(max_depth=4):
            destination = entry.get_dest()
            number = destination.get_index() if destination else None
            if number is not None:
                titles.setdefault(number, []).append(entry.get_title())
    except (PdfiumError, ValueError):
        return {}
    return titles


def _locate_headings(text: str, titles: list[str]) -> list[tuple[int, str]]:
    """Return the position of each of *titles* in *text*, ignoring case and white space.

    If none of them occurs, the first one is placed at the start of the page.
    """
    if not titles:
        return []
    letters = [
        (position, char.lower()[:1]) for position, char in enumerate(text) if not char.isspace()
    ]
    haystack = "".join(char for _, char in letters)
    headings, search_start = [], 0
    for title in titles:
        needle = "".join(char.lower()[:1] for char in title if not char.isspace())
        index = haystack.find(needle, search_start) if needle else -1
        if index >= 0:
            headings.append((letters[index][0], title))
            search_start = index
    return headings or [(0, titles[0])]


def _password_error(password: str) -> UnreadableFile:
    if password:
        return UnreadableFile(
            "wrong_password", "The password does not open this PDF. Send another."
        )
    detail = "This PDF requires a password. Send it again with the field password."
    return UnreadableFile("password_required", detail)


def _parse_with_pypdf(file: Path, password: str) -> Content:
    # Imported here: pypdf is slow to import, and rarely needed.
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(file)
        if reader.is_encrypted and not (reader.decrypt(password) or reader.decrypt("")):
            raise _password_error(password)
        count = len(reader.pages)
        title = (reader.metadata and reader.metadata.title) or ""
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        detail = "The PDF is damaged and cannot be read."
        raise UnreadableFile("unreadable_document", detail) from error
    pages = (Page(page.extract_text()) for page in reader.pages)
    return Content(pages, _without_placeholder(title), count)


def _without_placeholder(title: str) -> str:
    return "" if _PLACEHOLDER_TITLE.search(title) else title
