"""Registry of the supported document types, one row per type.

To support another type, add a row to DOCUMENT_TYPES and a parser module.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

# How many bytes of a file are enough to recognize its signature.
HEAD_BYTES = 4096
# PDF readers accept up to 1 KiB of arbitrary bytes before the header.
_PDF_HEADER_BYTES = 1024

Family = Literal["image", "text"]


@dataclass(frozen=True, slots=True)
class DocumentType:
    """Names, detection rules and parser of one document type."""

    name: str
    # Name of the type in error messages.
    label: str
    # Media type that is stored with the document and returned by the API.
    media_type: str
    # File name suffixes in lower case, with the dot.
    suffixes: tuple[str, ...]
    # `module:function` below this package. The function takes the path of the file, and the
    # password if `accepts_password`, and returns a Content.
    parser: str
    # A file may be declared as another type of its family: images often have the suffix of another
    # format, and any text file can be parsed as any text type.
    family: Family | None = None
    # Whether the first HEAD_BYTES bytes have the signature of this type.
    matches_head: Callable[[bytes], bool] | None = None
    # Bytes that a file with this signature must contain at any position. Without them it is
    # damaged.
    required_bytes: bytes = b""
    # For types that are ZIP archives: the start of the name of an entry that only this type has.
    zip_entry: bytes = b""
    accepts_password: bool = False


def _starts_with(*signatures: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(signatures)


def _is_pdf(head: bytes) -> bool:
    return b"%PDF-" in head[:_PDF_HEADER_BYTES]


def _is_webp(head: bytes) -> bool:
    return head.startswith(b"RIFF") and head[8:12] == b"WEBP"


def _is_bmp(head: bytes) -> bool:
    # Check reserved header fields too: any text may start with the letters "BM".
    return head.startswith(b"BM") and head[6:10] == b"\x00" * 4 and head[15:18] == b"\x00" * 3


_OFFICE = "application/vnd.openxmlformats-officedocument."

# Signatures are tested in this order.
DOCUMENT_TYPES = (
    DocumentType(
        "pdf",
        "PDF",
        "application/pdf",
        (".pdf",),
        "pdf.parser:parse_pdf",
        matches_head=_is_pdf,
        required_bytes=b" obj",
        accepts_password=True,
    ),
    DocumentType(
        "docx",
        "DOCX",
        f"{_OFFICE}wordprocessingml.document",
        (".docx", ".docm"),
        "office.docx.parser:parse_docx",
        zip_entry=b"word/document",
    ),
    DocumentType(
        "pptx",
        "PPTX",
        f"{_OFFICE}presentationml.presentation",
        (".pptx", ".pptm", ".ppsx"),
        "office.pptx.parser:parse_pptx",
        zip_entry=b"ppt/presentation",
    ),
    DocumentType(
        "xlsx",
        "XLSX",
        f"{_OFFICE}spreadsheetml.sheet",
        (".xlsx", ".xlsm"),
        "office.xlsx.parser:parse_xlsx",
        zip_entry=b"xl/workbook.xml",
    ),
    DocumentType(
        "html",
        "HTML",
        "text/html",
        (".html", ".htm", ".xhtml"),
        "text.html:parse_html",
        family="text",
    ),
    DocumentType(
        "markdown",
        "Markdown",
        "text/markdown",
        (".md", ".markdown"),
        "text.plain:parse_markdown",
        family="text",
    ),
    DocumentType(
        "csv",
        "CSV",
        "text/csv",
        (".csv", ".tsv", ".tab"),
        "text.plain:parse_csv",
        family="text",
    ),
    DocumentType(
        "json",
        "JSON",
        "application/json",
        (".json",),
        "text.json_records:parse_json",
        family="text",
    ),
    DocumentType(
        "jsonl",
        "JSON Lines",
        "application/jsonl",
        (".jsonl", ".ndjson"),
        "text.json_records:parse_json_lines",
        family="text",
    ),
    DocumentType(
        "email",
        "EML",
        "message/rfc822",
        (".eml",),
        "text.mail:parse_email",
        family="text",
    ),
    DocumentType(
        "calendar",
        "iCalendar",
        "text/calendar",
        (".ics", ".ical"),
        "text.icalendar:parse_icalendar",
        family="text",
    ),
    DocumentType(
        "text",
        "plain text",
        "text/plain",
        (".txt", ".text", ".log"),
        "text.plain:parse_text",
        family="text",
    ),
    DocumentType(
        "png",
        "PNG",
        "image/png",
        (".png",),
        "images.parser:parse_image",
        family="image",
        matches_head=_starts_with(b"\x89PNG\r\n\x1a\n"),
    ),
    DocumentType(
        "jpeg",
        "JPEG",
        "image/jpeg",
        (".jpg", ".jpeg"),
        "images.parser:parse_image",
        family="image",
        matches_head=_starts_with(b"\xff\xd8\xff"),
    ),
    DocumentType(
        "tiff",
        "TIFF",
        "image/tiff",
        (".tif", ".tiff"),
        "images.parser:parse_image",
        family="image",
        matches_head=_starts_with(b"II*\x00", b"MM\x00*"),
    ),
    DocumentType(
        "webp",
        "WebP",
        "image/webp",
        (".webp",),
        "images.parser:parse_image",
        family="image",
        matches_head=_is_webp,
    ),
    DocumentType(
        "bmp",
        "BMP",
        "image/bmp",
        (".bmp",),
        "images.parser:parse_image",
        family="image",
        matches_head=_is_bmp,
    ),
    DocumentType(
        "gif",
        "GIF",
        "image/gif",
        (".gif",),
        "images.parser:parse_image",
        family="image",
        matches_head=_starts_with(b"GIF87a", b"GIF89a"),
    ),
)

MEDIA_TYPES = tuple(row.media_type for row in DOCUMENT_TYPES)
_BY_NAME = {row.name: row for row in DOCUMENT_TYPES}
_BY_MEDIA_TYPE = {row.media_type: row for row in DOCUMENT_TYPES}
_BY_SUFFIX = {suffix: row for row in DOCUMENT_TYPES for suffix in row.suffixes}
# All types for error messages, e.g. "PDF, DOCX, …, plain text or an image".
SUPPORTED_TYPES = (
    ", ".join(row.label for row in DOCUMENT_TYPES if row.family != "image") + " or an image"
)


def get_document_type(name: str) -> DocumentType:
    """Return the document type called *name*. Raises KeyError."""
    return _BY_NAME[name]


def get_type_by_media_type(media_type: str) -> DocumentType:
    """Return the document type with this media type. Raises KeyError."""
    return _BY_MEDIA_TYPE[media_type]


def find_type_by_media_type(media_type: str) -> DocumentType | None:
    return _BY_MEDIA_TYPE.get(media_type)


def find_type_by_suffix(suffix: str) -> DocumentType | None:
    """Return the document type of a file name suffix such as `.pdf`, in any case, or None."""
    return _BY_SUFFIX.get(suffix.lower())
