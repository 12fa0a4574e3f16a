"""What kind of file it is, by its bytes; its name and declared type only decide between texts."""

import mmap
import zipfile
from pathlib import Path, PurePath
from typing import Literal

Kind = Literal["pdf", "docx", "html", "markdown", "csv", "text"]

CONTENT_TYPES: dict[Kind, str] = {
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "html": "text/html",
    "markdown": "text/markdown",
    "csv": "text/csv",
    "text": "text/plain",
}
_SUFFIXES: dict[str, Kind] = {
    ".pdf": "pdf", ".docx": "docx", ".html": "html", ".htm": "html", ".xhtml": "html",
    ".md": "markdown", ".markdown": "markdown", ".csv": "csv", ".tsv": "csv",
}  # fmt: skip
_HEAD = 4096
_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


class Mismatch(Exception):
    """The name or declared type promises a kind that the bytes are not."""

    def __init__(self, promised: str) -> None:
        super().__init__(f"This is no {promised} file, or a damaged one.")


def kind_of(file: Path, filename: str, declared: str) -> Kind | None:
    """The kind of *file*; None for one that is not read. Raises Mismatch for a false promise."""
    with file.open("rb") as source:
        head = source.read(_HEAD)
    # Readers accept a PDF whose header is preceded by up to a kilobyte of anything.
    if b"%PDF-" in head[:1024]:
        if not _holds(file, b" obj"):
            raise Mismatch("PDF")
        return "pdf"
    promised = _promised(filename, declared)
    if head.startswith(b"PK\x03\x04"):
        return _zipped(file, promised)
    if promised in ("pdf", "docx"):
        raise Mismatch(promised.upper())
    if not _is_text(head):
        return None
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:64].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "html"
    return promised or "text"


def _promised(filename: str, declared: str) -> Kind | None:
    by_name = _SUFFIXES.get(PurePath(filename).suffix.lower())
    by_type = next((kind for kind, name in CONTENT_TYPES.items() if name == declared), None)
    return by_name or (by_type if by_type != "text" else None)


def _zipped(file: Path, promised: Kind | None) -> Kind | None:
    try:
        with zipfile.ZipFile(file) as archive:
            if "word/document.xml" in archive.namelist():
                return "docx"
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        pass
    if promised in ("pdf", "docx"):
        raise Mismatch(promised.upper())
    return None


def _is_text(head: bytes) -> bool:
    if head.startswith(_BOMS):
        return True
    controls = sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head)
    return b"\x00" not in head and controls * 50 <= len(head)


def _holds(file: Path, part: bytes) -> bool:
    with file.open("rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as view:
        return view.find(part) >= 0
