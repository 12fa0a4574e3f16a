"""E-mail: who wrote to whom, when and what; attached texts too, other attachments by name."""

import email
from collections.abc import Iterator
from email.errors import MessageError
from email.message import EmailMessage, MIMEPart
from email.policy import default
from pathlib import Path

from backend.services.rag.clients.formats import html
from backend.services.rag.clients.formats.encodings import decoded
from backend.services.rag.clients.formats.page import Content, Page, TextBuilder, Unreadable
from backend.services.rag.clients.formats.plain import rows

_HEADERS = ("From", "To", "Cc", "Date", "Subject")
_MOST_NESTED = 5


def read(file: Path) -> Content:
    """The subject as title, and the whole message with what is attached."""
    try:
        message = email.message_from_bytes(file.read_bytes(), policy=default)
        text = TextBuilder()
        _write(message, text, 0)
        return Content([text.page()], _header(message, "Subject"))
    except (MessageError, RecursionError) as error:
        detail = "This e-mail is damaged beyond reading."
        raise Unreadable("unreadable_document", detail) from error


def _write(message: EmailMessage, text: TextBuilder, depth: int) -> None:
    for name in _HEADERS:
        if value := _header(message, name):
            text.add(f"{name}: {value}")
            text.break_line()
    text.break_line(blank=True)
    body = message.get_body(("plain", "html"))
    if body is not None:
        text.append(_page(body))
        text.break_line(blank=True)
    for part in _attachments(message):
        _attach(part, text, depth)


def _attachments(message: EmailMessage) -> Iterator[EmailMessage]:
    if not message.is_multipart():
        return
    for part in message.iter_attachments():
        if isinstance(part, EmailMessage):
            yield part


def _attach(part: EmailMessage, text: TextBuilder, depth: int) -> None:
    name = part.get_filename() or ""
    kind = part.get_content_type()
    if kind == "message/rfc822":
        inner = part.get_payload(0) if part.is_multipart() else None
        if isinstance(inner, EmailMessage) and depth < _MOST_NESTED:
            text.paragraph(f"Attached message: {_header(inner, 'Subject')}")
            _write(inner, text, depth + 1)
        return
    if part.get_content_maintype() == "text":
        text.paragraph(f"Attachment: {name or kind}")
        text.append(_page(part))
        text.break_line(blank=True)
    elif name:
        text.paragraph(f"Attachment: {name} ({kind})")


def _page(part: MIMEPart) -> Page:
    content = part.get_payload(decode=True)
    charset = str(part.get_content_charset() or "") or None
    if not isinstance(content, bytes):
        return Page("")
    if part.get_content_subtype() == "html":
        return html.visible(content, charset)[1].page()
    text = decoded(content, charset)
    if part.get_content_subtype() == "csv":
        table = TextBuilder()
        table.table(rows(text))
        return table.page()
    return Page(text)


def _header(message: EmailMessage, name: str) -> str:
    raw = next(
        (str(value) for key, value in message.raw_items() if key.lower() == name.lower()), ""
    )
    if not raw.isascii():
        # Bytes beyond ASCII, against the rules; the parser keeps them as surrogates.
        return " ".join(decoded(raw.encode("utf-8", "surrogateescape")).split())
    try:
        return " ".join(str(message.get(name) or "").split())
    except (ValueError, IndexError, AttributeError, TypeError):
        return raw  # a header that not even a lenient parser takes
