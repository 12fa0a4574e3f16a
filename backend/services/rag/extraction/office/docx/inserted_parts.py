"""Read files that other programs inserted into a DOCX file (altChunk, ECMA-376 Part 1, 17.17.2)."""

import email
import re
from collections.abc import Callable
from email.errors import MessageError
from email.policy import default

from backend.ai.text.encodings import decode_text
from backend.services.rag.extraction.content import Page
from backend.services.rag.extraction.office.docx.rtf import read_rtf
from backend.services.rag.extraction.office.ooxml import Package
from backend.services.rag.extraction.text.html import extract_html_page

# Media types, and the file name suffixes that are used if the media type is not declared.
_HTML = ("text/html", "application/xhtml+xml", "html", "htm", "xhtml")
_WEB_ARCHIVE = ("message/rfc822", "multipart/related", "application/x-mimearchive", "mht", "mhtml")
_TEXT = ("text/plain", "txt")
_RTF_SIGNATURE = b"{\\rtf"
_ZIP_SIGNATURE = b"PK\x03\x04"
_MIME_HEADER = re.compile(rb"\s*(?:mime-version|content-type|from|subject|date):", re.IGNORECASE)

# Returns the text of an embedded DOCX file.
ParsePackage = Callable[[Package], Page]


def read_inserted_part(package: Package, part: str, parse_docx: ParsePackage) -> Page:
    """Return the text of *part*, or only its file name if its type is not supported."""
    content = package.read_bytes(part)
    media_type = package.get_content_type(part).partition(";")[0].strip()
    name = part.rpartition("/")[2]
    kinds = {media_type, name.rpartition(".")[2].lower()}
    if content.startswith(_ZIP_SIGNATURE):
        return parse_docx(package.open_embedded(content))
    if content.startswith(_RTF_SIGNATURE):
        return Page(read_rtf(content))
    if _MIME_HEADER.match(content) and not kinds.isdisjoint(_WEB_ARCHIVE + _HTML):
        return _read_web_archive(content)
    if not kinds.isdisjoint(_HTML):
        return extract_html_page(content)[1]
    if not kinds.isdisjoint(_TEXT):
        return Page(decode_text(content))
    return Page(f"Inserted file: {name} ({media_type})" if content else "")


def _read_web_archive(content: bytes) -> Page:
    """Return the text of the main document of an MHTML file (RFC 2557)."""
    try:
        message = email.message_from_bytes(content.lstrip(), policy=default)
        body = message.get_body(("html", "plain"))
        data = body.get_payload(decode=True) if body is not None else None
        if body is None or not isinstance(data, bytes):
            return Page("")
        charset = str(body.get_content_charset() or "") or None
        if body.get_content_subtype() == "html":
            return extract_html_page(data, charset)[1]
        return Page(decode_text(data, charset))
    except (MessageError, RecursionError):
        return Page("")
