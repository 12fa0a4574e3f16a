"""What kind of file it is, by its bytes; its name and declared type only decide between texts."""

import mmap
import re
from pathlib import Path, PurePath
from typing import Literal

from backend.services.rag.clients.formats.directory import NotAnArchive, names_in
from backend.services.rag.clients.formats.encodings import wide

Kind = Literal[
    "pdf", "docx", "pptx", "xlsx", "html", "markdown", "csv", "json", "jsonl", "email", "text",
    "png", "jpeg", "tiff", "webp", "bmp", "gif",
]  # fmt: skip

_OFFICE = "application/vnd.openxmlformats-officedocument."
CONTENT_TYPES: dict[Kind, str] = {
    "pdf": "application/pdf",
    "docx": f"{_OFFICE}wordprocessingml.document",
    "pptx": f"{_OFFICE}presentationml.presentation",
    "xlsx": f"{_OFFICE}spreadsheetml.sheet",
    "html": "text/html",
    "markdown": "text/markdown",
    "csv": "text/csv",
    "json": "application/json",
    "jsonl": "application/jsonl",
    "email": "message/rfc822",
    "text": "text/plain",
    "png": "image/png",
    "jpeg": "image/jpeg",
    "tiff": "image/tiff",
    "webp": "image/webp",
    "bmp": "image/bmp",
    "gif": "image/gif",
}
READABLE = "PDF, DOCX, PPTX, XLSX, HTML, Markdown, CSV, JSON, EML, plain text or an image"
IMAGES: frozenset[Kind] = frozenset({"png", "jpeg", "tiff", "webp", "bmp", "gif"})
# Files that may open with a password alone.
LOCKABLE: frozenset[Kind] = frozenset({"pdf"})
_SUFFIXES: dict[str, Kind] = {
    ".pdf": "pdf", ".docx": "docx", ".docm": "docx", ".pptx": "pptx", ".pptm": "pptx",
    ".ppsx": "pptx", ".xlsx": "xlsx", ".xlsm": "xlsx", ".html": "html", ".htm": "html",
    ".xhtml": "html", ".md": "markdown", ".markdown": "markdown", ".csv": "csv", ".tsv": "csv",
    ".tab": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".eml": "email",
    ".txt": "text", ".text": "text", ".log": "text", ".png": "png", ".jpg": "jpeg",
    ".jpeg": "jpeg", ".tif": "tiff", ".tiff": "tiff", ".webp": "webp", ".bmp": "bmp",
    ".gif": "gif",
}  # fmt: skip
_PICTURES: tuple[tuple[bytes, Kind], ...] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
)
_PARTS: tuple[tuple[bytes, Kind], ...] = (
    (b"word/document", "docx"),
    (b"ppt/presentation", "pptx"),
    (b"xl/workbook.xml", "xlsx"),
)
_TEXTS: frozenset[Kind] = frozenset({"html", "markdown", "csv", "json", "jsonl", "email", "text"})
_HEAD = 4096
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_HEADER_LINE = re.compile(rb"(?:[A-Za-z][\w-]{1,60}:[^\n]*\n(?:[ \t][^\n]*\n)*)", re.A)
_MAIL_HEADER = re.compile(rb"^(?:from|received|return-path|message-id|subject):", re.M | re.I)


class Mismatch(Exception):
    """The name or declared type promises a kind that the bytes are not."""

    def __init__(self, promised: Kind) -> None:
        name = {"text": "plain text", "email": "EML"}.get(promised, promised.upper())
        super().__init__(f"This is no {name} file, or a damaged one.")


class NotRead(Exception):
    """A kind that is not read; the message says what to do instead."""


def kind_of(file: Path, filename: str, declared: str) -> Kind:
    """The kind of *file*. Raises Mismatch for a false promise, NotRead for any other kind."""
    promised = _promised(filename, declared)
    found = _by_bytes(file, promised)
    if promised and _family(promised) != _family(found):
        raise Mismatch(promised)
    return found


def _promised(filename: str, declared: str) -> Kind | None:
    by_name = _SUFFIXES.get(PurePath(filename).suffix.lower())
    by_type = next((kind for kind, name in CONTENT_TYPES.items() if name == declared), None)
    return by_name or (by_type if by_type != "text" else None)


def _family(kind: Kind) -> str:
    """Pictures are often named after one another, and any text may be read as any other."""
    return "image" if kind in IMAGES else "text" if kind in _TEXTS else kind


def _by_bytes(file: Path, promised: Kind | None) -> Kind:
    with file.open("rb") as source:
        head = source.read(_HEAD)
    # Readers accept a PDF whose header is preceded by up to a kilobyte of anything.
    if b"%PDF-" in head[:1024]:
        if not _holds(file, b" obj"):
            raise Mismatch("pdf")
        return "pdf"
    if head.startswith(b"PK\x03\x04"):
        return _zipped(file, promised)
    if head.startswith(_OLE):
        _refuse_old_office(file)
    if picture := _picture(head):
        return picture
    if not _is_text(head):
        if promised:
            raise Mismatch(promised)
        raise NotRead(f"Send {READABLE}.")
    return _text_kind(head, promised)


def _zipped(file: Path, promised: Kind | None) -> Kind:
    try:
        names = names_in(file)
    except NotAnArchive as error:
        raise (Mismatch(promised) if promised else NotRead("This archive is damaged.")) from error
    for part, kind in _PARTS:
        if part in names:
            return kind
    if promised:
        raise Mismatch(promised)
    raise NotRead(f"Send {READABLE}, and what is in an archive file by file.")


def _refuse_old_office(file: Path) -> None:
    if _holds(file, "EncryptedPackage".encode("utf-16-le")):
        raise NotRead("This Office file is encrypted. Send it again, saved without a password.")
    raise NotRead("This is a file of Office 2003 or older. Save it as DOCX, PPTX, XLSX or PDF.")


def _picture(head: bytes) -> Kind | None:
    for magic, kind in _PICTURES:
        if head.startswith(magic):
            return kind
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    # Two letters alone might begin any text.
    if head.startswith(b"BM") and head[6:10] == b"\x00" * 4 and head[15:18] == b"\x00" * 3:
        return "bmp"
    return None


def _text_kind(head: bytes, promised: Kind | None) -> Kind:
    if head.startswith(b"{\\rtf"):
        raise NotRead("RTF is not read. Save it as DOCX or PDF.")
    if promised == "email" and not _MAIL_HEADER.search(head):
        raise Mismatch("email")
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:64].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "html"
    if promised in _TEXTS:
        return promised
    return "email" if _is_mail(head) else "text"


def _is_mail(head: bytes) -> bool:
    """Whether *head* begins with header lines, and more than one that only mails have."""
    lines = b"".join(match.group() for match in _leading_headers(head.replace(b"\r\n", b"\n")))
    return len(set(map(bytes.lower, _MAIL_HEADER.findall(lines)))) >= 2


def _leading_headers(head: bytes) -> list[re.Match[bytes]]:
    found, at = [], 0
    while match := _HEADER_LINE.match(head, at):
        found.append(match)
        at = match.end()
    return found


def _is_text(head: bytes) -> bool:
    if head.startswith(_MARKS) or wide(head):
        return True
    controls = sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head)
    return b"\x00" not in head and controls * 50 <= len(head)


def _holds(file: Path, part: bytes) -> bool:
    with file.open("rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as view:
        return view.find(part) >= 0
