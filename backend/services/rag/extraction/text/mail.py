"""Parser of e-mail: headers, body, calendar entries and attached messages as one text.

The body is chosen as mail programs choose it. Attachments are named in the text and returned with
their bytes: each can become a document of its own. Images that an HTML body shows are neither named
nor returned.
"""

import mimetypes
import re
from codecs import BOM_UTF8
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote_to_bytes

from backend.ai.text.encodings import decode_text
from backend.services.rag.extraction.content import Attachment, Content, Page, TextBuilder
from backend.services.rag.extraction.text.html import extract_html_page
from backend.services.rag.extraction.text.icalendar import extract_icalendar_page
from backend.services.rag.extraction.text.mime import Entity, parse_entity
from backend.services.rag.extraction.text.plain_mail import is_blank, is_stub, join_flowed_lines

_HEADERS = ("From", "To", "Cc", "Date", "Subject")
# Maximum nesting depth of messages and multipart entities.
_MAX_DEPTH = 20
_MAX_PARTS = 1000
_MESSAGES = ("message/rfc822", "message/global", "message/news")
_CALENDARS = ("text/calendar", "application/ics")
# Reports about messages (RFC 3464, RFC 8098, RFC 5965, RFC 6522), which are short readable text.
_REPORTS = (
    "message/delivery-status",
    "message/disposition-notification",
    "message/feedback-report",
    "message/global-delivery-status",
    "text/rfc822-headers",
)
_SIGNATURES = (
    "application/pgp-signature",
    "application/pkcs7-signature",
    "application/x-pkcs7-signature",
)
_TEXT_BODIES = ("text/plain", "text/html")
_CONTENT_ID_REFERENCE = re.compile(rb"\bcid:([^\"'\s>)]{1,500})", re.I)


def parse_email(file: Path) -> Content:
    """Return the message and its attachments. The title is the subject."""
    entity = parse_entity(memoryview(file.read_bytes().removeprefix(BOM_UTF8)))
    text = TextBuilder()
    reader = _MailReader()
    reader.add_message(entity, text, 0)
    if reader.has_skipped_parts:
        text.add_paragraph("Further parts of this message are not read.")
    return Content([text.to_page()], entity.get_header("subject"), attachments=reader.attachments)


@dataclass(slots=True)
class _MessageParts:
    """Parts of one message that follow its body."""

    # Attachments and attached messages.
    attached: list[Entity] = field(default_factory=list)
    calendars: list[str] = field(default_factory=list)
    # Content ids that HTML bodies refer to.
    content_ids: set[bytes] = field(default_factory=set)


class _MailReader:
    """Reads a message and the messages in it, and collects their attachments."""

    def __init__(self) -> None:
        self.attachments: list[Attachment] = []
        self.has_skipped_parts = False
        self._parts_left = _MAX_PARTS

    def add_message(self, message: Entity, text: TextBuilder, depth: int) -> None:
        """Append headers, body, calendar entries, attachment names and attached messages."""
        for name in _HEADERS:
            if value := message.get_header(name.lower()):
                text.add_text(f"{name}: {value}")
                text.break_line()
        text.break_line(blank=True)
        parts = _MessageParts()
        self._add_body(message, text, parts, depth)
        for page in dict.fromkeys(parts.calendars):
            text.add_structured_text(extract_icalendar_page(page))
            text.break_line(blank=True)
        for entity in parts.attached:
            if not _is_shown_in_body(entity, parts.content_ids):
                self._add_attachment(entity, text, depth)

    def _add_body(
        self, entity: Entity, text: TextBuilder, parts: _MessageParts, depth: int
    ) -> None:
        """Append the text of *entity* or its parts, and add parts that are not text to *parts*."""
        if entity.media_type.startswith("multipart/"):
            self._add_multipart(entity, text, parts, depth)
        elif entity.media_type in _CALENDARS:
            parts.calendars.append(decode_text(entity.decode_body(), entity.charset))
        elif entity.disposition == "attachment":
            parts.attached.append(entity)
        elif entity.media_type in (*_TEXT_BODIES, *_REPORTS) or (
            entity.media_type.startswith("text/") and not entity.filename
        ):
            _add_page(_read_text(entity, parts), text)
        elif entity.media_type not in _SIGNATURES:
            parts.attached.append(entity)

    def _add_multipart(
        self, entity: Entity, text: TextBuilder, parts: _MessageParts, depth: int
    ) -> None:
        if depth >= _MAX_DEPTH:
            self.has_skipped_parts = True
            return
        if entity.media_type == "multipart/alternative":
            self._add_alternatives(entity, text, parts, depth)
            return
        for part in self._iterate_parts(entity):
            self._add_body(part, text, parts, depth + 1)

    def _add_alternatives(
        self, entity: Entity, text: TextBuilder, parts: _MessageParts, depth: int
    ) -> None:
        """Append the plain text, or the richest alternative if the plain text lacks most of it.

        The last alternative is the richest (RFC 2046, section 5.1.4). Plain text is preferred
        because HTML repeats links and layout, but some senders leave it empty, or write only that
        the mail program cannot show HTML.
        """
        pages = []
        for part in self._iterate_parts(entity):
            alternative = TextBuilder()
            self._add_body(part, alternative, parts, depth + 1)
            page = alternative.to_page()
            # Other types, such as RTF or AMP, are for programs that support them.
            is_known = part.media_type.startswith(("multipart/", *_TEXT_BODIES))
            if is_known and not is_blank(page.text):
                pages.append((part.media_type, page))
        if not pages:
            return
        richest = pages[-1][1]
        plain = next((page for media_type, page in pages if media_type == "text/plain"), richest)
        _add_page(richest if is_stub(plain.text, richest.text) else plain, text)

    def _iterate_parts(self, entity: Entity) -> list[Entity]:
        parts = []
        for part in entity.iterate_parts():
            if self._parts_left == 0:
                self.has_skipped_parts = True
                break
            self._parts_left -= 1
            parts.append(part)
        return parts

    def _add_attachment(self, entity: Entity, text: TextBuilder, depth: int) -> None:
        if entity.media_type in _MESSAGES:
            if depth >= _MAX_DEPTH:
                self.has_skipped_parts = True
                return
            attached = entity.get_attached_message()
            text.add_paragraph(
                f"Attached message: {attached.get_header('subject') or entity.filename}"
            )
            self.add_message(attached, text, depth + 1)
            text.break_line(blank=True)
            return
        filename = entity.filename or _build_filename(entity, len(self.attachments) + 1)
        description = entity.get_header("content-description")
        label = f"{filename} ({entity.media_type})"
        if description and description != filename:
            label = f"{label}: {description}"
        text.add_paragraph(f"Attachment: {label}")
        self.attachments.append(Attachment(filename, entity.media_type, entity.decode_body()))


def _add_page(page: Page, text: TextBuilder) -> None:
    if not is_blank(page.text):
        text.add_structured_text(page)
        text.break_line(blank=True)


def _read_text(entity: Entity, parts: _MessageParts) -> Page:
    content = entity.decode_body()
    if entity.media_type == "text/html":
        references = _CONTENT_ID_REFERENCE.findall(content)
        parts.content_ids.update(unquote_to_bytes(reference) for reference in references)
        return extract_html_page(content, entity.charset)[1]
    text = decode_text(content, entity.charset)
    if entity.get_parameter("content-type", "format").lower() == "flowed":
        deletes_space = entity.get_parameter("content-type", "delsp").lower() == "yes"
        text = join_flowed_lines(text, deletes_space=deletes_space)
    return Page(text)


def _is_shown_in_body(entity: Entity, content_ids: set[bytes]) -> bool:
    """Return whether the HTML body shows *entity*, such as a logo."""
    may_be_shown = entity.media_type.startswith("image/") or entity.disposition != "attachment"
    return may_be_shown and entity.content_id.encode("utf-8", "replace") in content_ids


def _build_filename(entity: Entity, number: int) -> str:
    suffix = mimetypes.guess_extension(entity.media_type) or ""
    return f"attachment-{number}{suffix}"
