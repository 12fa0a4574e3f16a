"""Detect the document type of a file from its bytes.

The file name and the declared media type only choose among text types and detect mismatches.
"""

import mmap
import re
from pathlib import Path, PurePath

from backend.ai.text.encodings import detect_utf16
from backend.services.rag.extraction.document_types import (
    DOCUMENT_TYPES,
    HEAD_BYTES,
    SUPPORTED_TYPES,
    DocumentType,
    find_type_by_media_type,
    find_type_by_suffix,
    get_document_type,
)
from backend.services.rag.extraction.zip_directory import InvalidZip, read_directory

_TEXT = get_document_type("text")
_HTML = get_document_type("html")
_EMAIL = get_document_type("email")
_CALENDAR = get_document_type("calendar")

_XHTML = "application/xhtml+xml"
_ZIP = b"PK\x03\x04"
# Microsoft Compound File Binary: Office 97-2003, and the container of encrypted Office files.
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# The doctype or root element of HTML or XHTML, after an optional XML declaration and comments.
_HTML_START = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:\s|<!--.*?-->|<\?xml\s[^>]*>)*+<(?:!doctype\s+html|html[\s>])",
    re.I | re.S,
)
# Designation before text in which the bytes 0E and 0F begin and end Korean characters (RFC 1557).
_ISO_2022_KR_DESIGNATION = b"\x1b$)C"
_HEADER_LINE = re.compile(rb"(?:[A-Za-z][\w-]{1,60}:[^\n]*\n(?:[ \t][^\n]*\n)*)", re.A)
_EMAIL_HEADER = re.compile(rb"^(?:from|received|return-path|message-id|subject):", re.M | re.I)


class TypeMismatch(Exception):
    """The bytes are not of the type that the file name or media type declares."""

    def __init__(self, declared: DocumentType) -> None:
        super().__init__(f"The file is not a valid {declared.label} file, or it is damaged.")


class UnsupportedType(Exception):
    """The document type is not supported. The message says what to send instead."""


def detect_document_type(file: Path, filename: str, media_type: str) -> DocumentType:
    """Return the document type of *file*.

    Args:
        filename: name of the upload; its suffix declares a type.
        media_type: Content-Type of the upload; declares a type if the suffix is unknown.

    Raises:
        TypeMismatch: the bytes are of another type than declared, or damaged.
        UnsupportedType: no parser exists for this type.
    """
    declared = _declared_type(filename, media_type)
    detected = _detect_by_bytes(file, declared)
    if declared and not _is_compatible(declared, detected):
        raise TypeMismatch(declared)
    return detected


def _declared_type(filename: str, media_type: str) -> DocumentType | None:
    by_suffix = find_type_by_suffix(PurePath(filename).suffix)
    by_media_type = _HTML if media_type == _XHTML else find_type_by_media_type(media_type)
    # text/plain is too generic to count as a declaration.
    return by_suffix or (by_media_type if by_media_type != _TEXT else None)


def _is_compatible(declared: DocumentType, detected: DocumentType) -> bool:
    return declared == detected or (
        declared.family is not None and declared.family == detected.family
    )


def _detect_by_bytes(file: Path, declared: DocumentType | None) -> DocumentType:
    with file.open("rb") as source:
        head = source.read(HEAD_BYTES)
    for document_type in DOCUMENT_TYPES:
        if document_type.matches_head and document_type.matches_head(head):
            if document_type.required_bytes and not _contains(file, document_type.required_bytes):
                raise TypeMismatch(document_type)
            return document_type
    if head.startswith(_ZIP):
        return _detect_zip_type(file, declared)
    if head.startswith(_OLE):
        _reject_ole_file(file)
    if not _is_text(head):
        if declared:
            raise TypeMismatch(declared)
        raise UnsupportedType(f"Send {SUPPORTED_TYPES}.")
    return _detect_text_type(head, declared)


def _detect_zip_type(file: Path, declared: DocumentType | None) -> DocumentType:
    try:
        directory = read_directory(file)
    except InvalidZip as error:
        if declared:
            raise TypeMismatch(declared) from error
        raise UnsupportedType("This archive is damaged.") from error
    for document_type in DOCUMENT_TYPES:
        if document_type.zip_entry and document_type.zip_entry in directory:
            return document_type
    if declared:
        raise TypeMismatch(declared)
    raise UnsupportedType(
        f"Archives are not supported. Send their files one by one: {SUPPORTED_TYPES}."
    )


def _reject_ole_file(file: Path) -> None:
    if _contains(file, "EncryptedPackage".encode("utf-16-le")):
        raise UnsupportedType("This Office file is encrypted. Save it without a password.")
    raise UnsupportedType(
        "Files of Office 2003 or older are not supported. Save it as DOCX, PPTX, XLSX or PDF."
    )


def _detect_text_type(head: bytes, declared: DocumentType | None) -> DocumentType:
    if head.startswith(b"{\\rtf"):
        raise UnsupportedType("RTF is not supported. Save it as DOCX or PDF.")
    if declared == _EMAIL and not _EMAIL_HEADER.search(head):
        raise TypeMismatch(_EMAIL)
    start = _decode_utf16(head)
    if _HTML_START.match(start):
        return _HTML
    if start.lstrip()[:15].lower() == b"begin:vcalendar":
        return _CALENDAR
    if declared and declared.family == "text":
        return declared
    return _EMAIL if _is_email(head) else _TEXT


def _decode_utf16(head: bytes) -> bytes:
    """Return *head* as UTF-8 if it is UTF-16, else unchanged."""
    encoding = "utf-16" if head.startswith(_UTF16_MARKS) else detect_utf16(head)
    return head.decode(encoding, "replace").encode() if encoding else head


def _is_email(head: bytes) -> bool:
    """Check that *head* starts with header lines, at least two of them typical for e-mail."""
    header = b"".join(match.group() for match in _leading_headers(head.replace(b"\r\n", b"\n")))
    return len(set(map(bytes.lower, _EMAIL_HEADER.findall(header)))) >= 2


def _leading_headers(head: bytes) -> list[re.Match[bytes]]:
    matches, position = [], 0
    while match := _HEADER_LINE.match(head, position):
        matches.append(match)
        position = match.end()
    return matches


def _is_text(head: bytes) -> bool:
    """Check for a byte order mark, UTF-16, or no NUL and few control characters (one, or 2 %)."""
    if head.startswith(_BYTE_ORDER_MARKS) or detect_utf16(head):
        return True
    expected = b"\t\n\r\f\x1b"
    if _ISO_2022_KR_DESIGNATION in head:
        expected += b"\x0e\x0f"
    controls = sum(byte < 32 and byte not in expected for byte in head)
    return b"\x00" not in head and controls <= max(1, len(head) // 50)


def _contains(file: Path, part: bytes) -> bool:
    with file.open("rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as view:
        return view.find(part) >= 0
