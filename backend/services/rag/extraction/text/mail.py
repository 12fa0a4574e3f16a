"""Parser of e-mail (RFC 5322): headers, body and text attachments.

Other attachments are listed by name and media type.
"""

import email
from collections.abc import Iterator
from email.errors import MessageError
from email.message import EmailMessage, MIMEPart
from email.policy import default
from pathlib import Path

from backend.ai.text.encodings import decode_text
from backend.services.rag.extraction.content import Content, Page, TextBuilder, UnreadableFile
from backend.services.rag.extraction.text.html import extract_html_page
from backend.services.rag.extraction.text.plain import parse_csv_rows

_HEADERS = ("From", "To", "Cc", "Date", "Subject")
_MAX_NESTED_MESSAGES = 5
# The parser of the standard library takes quadratic time for a header. Longer ones are not decoded.
_MAX_PARSED_HEADER_CHARS = 2000


def parse_email(file: Path) -> Content:
    """Return the message with its attachments. The title is the subject."""
    try:
        message = email.message_from_bytes(file.read_bytes(), policy=default)
        text = TextBuilder()
        _add_message(message, text, 0)
        return Content([text.to_page()], _get_header(message, "Subject"))
    except (MessageError, RecursionError) as error:
        detail = "The e-mail is damaged and cannot be read."
        raise UnreadableFile("unreadable_document", detail) from error


def _add_message(message: EmailMessage, text: TextBuilder, depth: int) -> None:
    for name in _HEADERS:
        if value := _get_header(message, name):
            text.add_text(f"{name}: {value}")
            text.break_line()
    text.break_line(blank=True)
    body = message.get_body(("plain", "html"))
    if body is not None:
        text.add_structured_text(_to_page(body))
        text.break_line(blank=True)
    for part in _iterate_attachments(message):
        _add_attachment(part, text, depth)


def _iterate_attachments(message: EmailMessage) -> Iterator[EmailMessage]:
    if not message.is_multipart():
        return
    for part in message.iter_attachments():
        if isinstance(part, EmailMessage):
            yield part


def _add_attachment(part: EmailMessage, text: TextBuilder, depth: int) -> None:
    filename = part.get_filename() or ""
    media_type = part.get_content_type()
    if media_type == "message/rfc822":
        attached = part.get_payload(0) if part.is_multipart() else None
        if isinstance(attached, EmailMessage) and depth < _MAX_NESTED_MESSAGES:
            text.add_paragraph(f"Attached message: {_get_header(attached, 'Subject')}")
            _add_message(attached, text, depth + 1)
        return
    if part.get_content_maintype() == "text":
        text.add_paragraph(f"Attachment: {filename or media_type}")
        text.add_structured_text(_to_page(part))
        text.break_line(blank=True)
    elif filename:
        text.add_paragraph(f"Attachment: {filename} ({media_type})")


def _to_page(part: MIMEPart) -> Page:
    content = part.get_payload(decode=True)
    charset = str(part.get_content_charset() or "") or None
    if not isinstance(content, bytes):
        return Page("")
    if part.get_content_subtype() == "html":
        return extract_html_page(content, charset)[1]
    text = decode_text(content, charset)
    if part.get_content_subtype() == "csv":
        table = TextBuilder()
        table.add_table(parse_csv_rows(text))
        return table.to_page()
    return Page(text)


def _get_header(message: EmailMessage, name: str) -> str:
    raw = next(
        (str(value) for key, value in message.raw_items() if key.lower() == name.lower()), ""
    )
    if not raw.isascii():
        # Unencoded non-ASCII bytes violate RFC 5322. The parser keeps them as surrogates.
        return " ".join(decode_text(raw.encode("utf-8", "surrogateescape")).split())
    if len(raw) > _MAX_PARSED_HEADER_CHARS:
        return " ".join(raw.split())
    try:
        return " ".join(str(message.get(name) or "").split())
    except (ValueError, IndexError, AttributeError, TypeError):
        return raw  # malformed beyond what the standard library's lenient parser accepts
