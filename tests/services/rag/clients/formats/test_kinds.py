"""What a file is, by its bytes."""

import struct
import zipfile

import pytest

from backend.services.rag.clients.formats.kinds import Mismatch, NotRead, kind_of
from tests.documents import docx, paragraph, pdf, picture
from tests.services.rag.conftest import DATA

PDF = pdf([])
PNG = picture("x", (50, 50))
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
MAIL = b"Received: by x\r\n\tfrom y\r\nSubject: hi\r\nFrom: ada@example.org\r\n\r\nbody"


@pytest.fixture
def found(tmp_path):
    def kind(content, name, declared=""):
        file = tmp_path / "file"
        file.write_bytes(content)
        return kind_of(file, name, declared)

    return kind


@pytest.mark.parametrize(
    ("content", "name", "kind"),
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
        (b"Subject: minutes\n\nWe met.", "minutes.txt", "text"),
        (b"<!DOCTYPE html><p>x", "page", "html"),
        (b"# A", "a.md", "markdown"),
        ("Grüße".encode("utf-16"), "a.txt", "text"),
        ("Grüße aus Köln".encode("utf-16-le"), "a.txt", "text"),
        ("契約の解除".encode("iso2022_jp"), "a.txt", "text"),
    ],
)
def test_bytes_tell_the_kind(found, content, name, kind):
    assert found(content, name) == kind


def test_a_declared_type_decides_between_texts_without_a_suffix(found):
    assert found(b"a,b", "table", "text/csv") == "csv"


@pytest.mark.parametrize(
    ("content", "name"),
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
def test_a_name_that_lies_is_found_out(found, content, name):
    with pytest.raises(Mismatch):
        found(content, name)


@pytest.mark.parametrize(
    ("content", "name", "advice"),
    [
        (b"MZ\x90\x00\x03" + bytes(99), "a.exe", "Send PDF"),
        (OLE, "old.doc", "Office 2003"),
        (OLE + "EncryptedPackage".encode("utf-16-le"), "a.xlsx", "encrypted"),
        (b"{\\rtf1 hello}", "a.rtf", "Save it as"),
    ],
)
def test_what_is_not_read_is_refused_with_advice(found, content, name, advice):
    with pytest.raises(NotRead, match=advice):
        found(content, name)


def test_an_archive_of_anything_is_refused(found, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("notes.txt", "x")

    with pytest.raises(NotRead, match="file by file"):
        found((tmp_path / "a.zip").read_bytes(), "a.zip")


def test_an_archive_of_a_million_entries_is_refused_unread(found):
    directory = (b"PK\x01\x02" + bytes(42)) * 100_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0, 0, len(directory), 4, 0)

    with pytest.raises(Mismatch):
        found(b"PK\x03\x04" + directory + end, "a.docx")


def test_the_files_of_others_are_told_apart(found):
    assert found((DATA / "handbook-1p.docx").read_bytes(), "a.docx") == "docx"
