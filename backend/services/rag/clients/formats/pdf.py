"""PDF: pdfium reads it, fast; pypdf where pdfium gives up."""

import re
from collections.abc import Iterator
from pathlib import Path

import pypdfium2
from pypdfium2 import PdfiumError

from backend.services.rag.clients.formats.page import SCAN, Content, Page, Scan, Unreadable
from backend.services.rag.clients.formats.pdf_scans import is_scanned, read_picture
from backend.services.rag.clients.formats.pdf_text import text_of

# What programs write into the title when nobody gave one.
_NO_TITLE = re.compile(r"untitled|microsoft word|\.(docx?|indd|tex|dvi|pdf|pptx?|qxd)$|^\W*$", re.I)


def read(file: Path, password: str = "") -> Content:
    """The title if there is a real one, the number of pages, and the pages one by one."""
    try:
        document = pypdfium2.PdfDocument(file, password=password or None)
    except PdfiumError as error:
        # Older encryption takes letters beyond ASCII in its own way, which pypdf knows.
        if "password" in str(error).lower() and password.isascii():
            raise _locked(password) from error
        return _read_with_pypdf(file, password)
    if len(document) == 0:
        return _read_with_pypdf(file, password)
    title = document.get_metadata_value("Title") or ""
    return Content(_pages(document), _real(title), len(document))


def _pages(document: pypdfium2.PdfDocument) -> Iterator[Page | Scan]:
    outline = _outline(document)
    for number in range(len(document)):
        text = ""
        try:
            page = document[number]
            text = text_of(page)
            if is_scanned(page, text):
                yield SCAN
                text = read_picture(page) or text
            page.close()
        except PdfiumError:
            pass  # a damaged page costs itself, not the document
        yield Page(text, _located(text, outline.get(number, [])))


def _outline(document: pypdfium2.PdfDocument) -> dict[int, list[str]]:
    """The titles of the table of contents by the page they point to."""
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


def _located(text: str, titles: list[str]) -> list[tuple[int, str]]:
    """Where on the page each title stands; where none is found, the first stands at its top."""
    if not titles:
        return []
    seen = [(place, char.lower()[:1]) for place, char in enumerate(text) if not char.isspace()]
    letters = "".join(char for _, char in seen)
    headings, reached = [], 0
    for title in titles:
        sought = "".join(char.lower()[:1] for char in title if not char.isspace())
        found = letters.find(sought, reached) if sought else -1
        if found >= 0:
            headings.append((seen[found][0], title))
            reached = found
    return headings or [(0, titles[0])]


def _locked(password: str) -> Unreadable:
    if password:
        return Unreadable("wrong_password", "The password does not open this PDF. Send another.")
    detail = "This PDF opens only with a password. Send it again with the field password."
    return Unreadable("password_required", detail)


def _read_with_pypdf(file: Path, password: str) -> Content:
    # Imported only where it is needed: it is slow to load, as it is to read.
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(file)
        if reader.is_encrypted and not (reader.decrypt(password) or reader.decrypt("")):
            raise _locked(password)
        count = len(reader.pages)
        title = (reader.metadata and reader.metadata.title) or ""
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise Unreadable("unreadable_document", "This PDF is damaged beyond reading.") from error
    return Content((Page(page.extract_text()) for page in reader.pages), _real(title), count)


def _real(title: str) -> str:
    return "" if _NO_TITLE.search(title) else title
