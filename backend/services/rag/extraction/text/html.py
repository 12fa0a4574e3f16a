"""Parser of HTML. The text consists of the visible text blocks of the page."""

from pathlib import Path

from backend.ai.text.html import decode_html, extract_html_text
from backend.ai.text.text_builder import TextTooLong
from backend.services.rag.extraction.content import (
    MAX_PAGE_CHARS,
    TOO_MUCH_TEXT,
    Content,
    Page,
    UnreadableFile,
)


def parse_html(file: Path) -> Content:
    """Return the title and the visible text."""
    title, page = extract_html_page(file.read_bytes())
    return Content([page], title)


def extract_html_page(content: bytes, declared_encoding: str | None = None) -> tuple[str, Page]:
    """Return title and visible text of an HTML page.

    *declared_encoding* is the encoding of the Content-Type header, if there is one.
    """
    try:
        html = extract_html_text(decode_html(content, declared_encoding), max_chars=MAX_PAGE_CHARS)
    except TextTooLong as error:
        raise UnreadableFile(*TOO_MUCH_TEXT) from error
    return html.title, Page(html.text, list(html.headings))
