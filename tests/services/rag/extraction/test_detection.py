"""Detection of document types by their bytes."""

import struct
import zipfile

import pytest

from backend.services.rag.extraction.detection import (
    TypeMismatch,
    UnsupportedType,
    detect_document_type,
)
from tests.documents import docx, paragraph, pdf, picture
from tests.services.rag.conftest import DATA

PDF = pdf([])
PNG = picture("x", (50, 50))
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
MAIL = b"Received: by x\r\n\tfrom y\r\nSubject: hi\r\nFrom: ada@example.org\r\n\r\nbody"


@pytest.fixture
def detect(tmp_path):
    def detect_type_name(content, filename, media_type=""):
        file = tmp_path / "file"
        file.write_bytes(content)
        return detect_document_type(file, filename, media_type).name

    return detect_type_name


@pytest.mark.parametrize(
    ("content", "filename", "type_name"),
    [
        (PDF, "a.pdf", "pdf"),
        (b"\n" * 900 + PDF, "a.pdf", "pdf"),
        (PDF, "no suffix", "pdf"),
        (docx(paragraph("x")), "a.docx", "docx"),
        (docx(paragraph("x")), "upload.tmp", "docx"),
        (PNG, "a.png", "png"),
        (PNG, "photo.jpg", "png"),
        (b"II*\x00rest", "scan.tif", "tiff"),
        (b"RIFF....WEBPVP8 ", "a.webp", "webp"),
        (b"GIF89a", "a.gif", "gif"),
        (b"BM" + bytes(12) + b"\x28" + bytes(20), "a.bmp", "bmp"),
        (b"BMW builds cars.", "cars", "text"),
        (b"a,b\n1,2", "a.csv", "csv"),
        (b"{}", "a.json", "json"),
        (b"{}\n{}", "a.jsonl", "jsonl"),
        (MAIL, "a.eml", "email"),
        (MAIL, "letter", "email"),
        (b"BEGIN:VCALENDAR\r\n", "a.ics", "calendar"),
        (b"BEGIN:VCALENDAR\r\n", "invitation", "calendar"),
        (b"Subject: minutes\n\nWe met.", "minutes.txt", "text"),
        (b"<!DOCTYPE html><p>x", "page", "html"),
        (b"# A", "a.md", "markdown"),
        ("Grüße".encode("utf-16"), "a.txt", "text"),
        ("Grüße aus Köln".encode("utf-16-le"), "a.txt", "text"),
        ("契約の解除".encode("iso2022_jp"), "a.txt", "text"),
        ("계약 해지 통지".encode("iso2022_kr"), "a.txt", "text"),
        (MAIL + "계약 해지 통지, 회의는 열 시에".encode("iso2022_kr"), "a.eml", "email"),
        (b"a,b\x1c\n1,2", "a.csv", "csv"),
    ],
)
def test_type_is_detected_by_bytes(detect, content, filename, type_name):
    assert detect(content, filename) == type_name


def test_media_type_selects_text_type_without_suffix(detect):
    assert detect(b"a,b", "table", "text/csv") == "csv"


@pytest.mark.parametrize(
    ("content", "filename"),
    [
        (b"no PDF at all", "a.pdf"),
        (b"%PDF-1.7\nhello", "a.pdf"),
        (PNG, "a.pdf"),
        (PDF, "a.txt"),
        (PDF, "a.docx"),
        (docx(paragraph("x")), "a.xlsx"),
        (docx(paragraph("x"))[:-30], "a.docx"),
        (b"text", "a.png"),
        (b"\x00\x01\x02\x03" * 99, "a.txt"),
        (b"no header here", "a.eml"),
    ],
)
def test_mismatch_of_suffix_and_bytes_is_rejected(detect, content, filename):
    with pytest.raises(TypeMismatch):
        detect(content, filename)


@pytest.mark.parametrize(
    ("content", "filename", "advice"),
    [
        (b"MZ\x90\x00\x03" + bytes(99), "a.exe", "Send PDF"),
        (OLE, "old.doc", "Office 2003"),
        (OLE + "EncryptedPackage".encode("utf-16-le"), "a.xlsx", "encrypted"),
        (b"{\\rtf1 hello}", "a.rtf", "Save it as"),
    ],
)
def test_unsupported_type_is_rejected_with_advice(detect, content, filename, advice):
    with pytest.raises(UnsupportedType, match=advice):
        detect(content, filename)


def test_zip_archive_of_other_files_is_rejected(detect, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("notes.txt", "x")

    with pytest.raises(UnsupportedType, match="one by one"):
        detect((tmp_path / "a.zip").read_bytes(), "a.zip")


def test_zip_archive_with_huge_directory_is_rejected(detect):
    directory = (b"PK\x01\x02" + bytes(42)) * 100_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0, 0, len(directory), 4, 0)

    with pytest.raises(TypeMismatch):
        detect(b"PK\x03\x04" + directory + end, "a.docx")


def test_type_of_real_docx_is_detected(detect):
    assert detect((DATA / "handbook-1p.docx").read_bytes(), "a.docx") == "docx"


@pytest.mark.parametrize(
    "content",
    [
        b"<?xml version='1.0'?>\n<!DOCTYPE html>\n<html/>",
        b"\xef\xbb\xbf<!-- a --><html xmlns='http://www.w3.org/1999/xhtml'/>",
        "<!DOCTYPE html><p>ö".encode("utf-16"),
        "<html><p>ö".encode("utf-16-le"),
    ],
)
def test_html_is_detected_by_its_start(detect, content):
    assert detect(content, "page") == "html"


def test_xhtml_is_declared_by_its_media_type(detect):
    assert detect(b"<p/>", "page", "application/xhtml+xml") == "html"


POLYGLOTS = {
    "PDF, then DOCX": (PDF + docx(paragraph("x")), {"pdf"}),
    "DOCX, then PDF": (docx(paragraph("x")) + PDF, {"pdf"}),
    "PNG, then DOCX": (PNG + docx(paragraph("x")), {"png"}),
    "PNG, then HTML": (PNG + b"<script>alert(1)</script>", {"png"}),
    "GIF and JavaScript": (b"GIF89a/*" + b"x" * 50 + b"*/=1;alert(1)", {"gif"}),
    "HTML, then PDF": (b"<html><script>x</script>" + PDF, {"pdf"}),
    "JPEG and PHAR": (b"\xff\xd8\xff\xe0<?php __HALT_COMPILER(); ?>", {"jpeg"}),
    "program, then PDF": (b"MZ" + PDF, {"pdf"}),
    "video": (b"\0\0\0\x18ftypmp42" + bytes(30), set()),
}


@pytest.mark.parametrize(("content", "types"), POLYGLOTS.values(), ids=POLYGLOTS.keys())
def test_file_that_is_valid_as_several_types_is_accepted_as_one(detect, content, types):
    found = set()
    for suffix in ("pdf", "docx", "xlsx", "png", "jpg", "gif", "html", "svg", "txt", "csv", "eml"):
        try:
            found.add(detect(content, f"a.{suffix}"))
        except (TypeMismatch, UnsupportedType):
            continue

    assert found == types
