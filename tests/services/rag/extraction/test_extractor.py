"""The extraction process on real files, hostile files, and files that exceed its limits."""

import subprocess
import sys
import time
import zlib
from email.message import EmailMessage

import pytest

from backend.services.rag.errors import ExtractionFailed
from backend.services.rag.extraction.content import MAX_ATTACHMENTS
from backend.services.rag.extraction.document_types import get_document_type
from backend.services.rag.extraction.extractor import PAGE_BREAK, ExtractionLimits, Extractor
from backend.services.rag.extraction.parser_processes import SpawnedProcesses
from tests.documents import TextLine, pdf
from tests.services.rag.conftest import MIB, PDF

TEXT = get_document_type("text")


def extract(file, type_name, **limits):
    """Return the extracted text and the reported progress."""
    progress = []
    extracted = Extractor(ExtractionLimits(**limits)).extract_text(
        file, get_document_type(type_name), lambda *counts: progress.append(counts)
    )
    return extracted, progress


def write_file(folder, name, content):
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def test_pdf_is_extracted_page_by_page():
    extracted, progress = extract(PDF, "pdf")

    assert extracted.has_pages
    assert len(extracted.pages) == 5
    assert progress == [(n, 5) for n in range(1, 6)]
    assert extracted.pages[0].startswith("The Evolution of the Word Processor\n")
    assert "paved the way for self-\npublishing" in extracted.pages[3]
    assert all(page.endswith(PAGE_BREAK) for page in extracted.pages)


def test_markdown_title_and_headings_exclude_code_blocks(tmp_path):
    text = "# The Manual\n\nIntro.\n\n```\n# a comment\n```\n\n## Setup ##\n\nPlug it in.\n"
    extracted, _ = extract(write_file(tmp_path, "a.md", text), "markdown")

    text = "".join(extracted.pages)
    assert extracted.title == "The Manual"
    assert [(text[start : start + 4], title) for start, title in extracted.headings] == [
        ("# Th", "The Manual"),
        ("## S", "Setup"),
    ]
    assert not extracted.has_pages


def test_html_text_excludes_scripts_and_styles(tmp_path):
    page = (
        "<!doctype html><title>Shop &amp; more</title><style>p{}</style>"
        "<script>alert('x')</script><h1>Refunds</h1><p>Within <b>14</b> days.</p>"
        "<ul><li>By card<li>In cash</ul><table><tr><td>a</td><td>b</td></tr></table>"
    )
    extracted, _ = extract(write_file(tmp_path, "a.html", page), "html")

    text = "".join(extracted.pages)
    assert extracted.title == "Shop & more"
    assert "Refunds\n\nWithin 14 days.\n\n• By card\n• In cash" in text
    assert "alert" not in text
    assert [title for _, title in extracted.headings] == ["Refunds"]


@pytest.mark.parametrize(
    ("name", "type_name", "content", "code"),
    [
        ("a.pdf", "pdf", b"%PDF-1.7\n1 0 obj\n", "unreadable_document"),
        ("a.docx", "docx", b"PK\x03\x04 word/document.xml", "unreadable_document"),
    ],
)
def test_extraction_fails_with_code_for_damaged_file(tmp_path, name, type_name, content, code):
    with pytest.raises(ExtractionFailed) as failure:
        extract(write_file(tmp_path, name, content), type_name)

    assert failure.value.code == code


def test_extraction_fails_above_max_characters(tmp_path):
    with pytest.raises(ExtractionFailed, match="more text"):
        extract(write_file(tmp_path, "a.txt", "word " * 100), "text", max_characters=100)


class SleepingProcesses(SpawnedProcesses):
    """Starts a process that writes no output in place of the extraction process."""

    def get_command(self, arguments):
        return [sys.executable, "-c", "import time; time.sleep(60)"]


def test_extraction_process_is_killed_at_timeout(tmp_path):
    started_at = time.monotonic()

    with pytest.raises(ExtractionFailed, match="too long"):
        Extractor(ExtractionLimits(timeout_seconds=1), SleepingProcesses()).extract_text(
            write_file(tmp_path, "a.txt", "x"), TEXT, print
        )

    assert time.monotonic() - started_at < 30


def test_extraction_fails_after_stop(tmp_path):
    extractor = Extractor(ExtractionLimits(timeout_seconds=30), SleepingProcesses())
    extractor.stop()
    started_at = time.monotonic()

    with pytest.raises(ExtractionFailed):
        extractor.extract_text(write_file(tmp_path, "a.txt", "x"), TEXT, print)

    assert time.monotonic() - started_at < 30


def test_extraction_fails_above_memory_limit(tmp_path):
    file = write_file(tmp_path, "a.txt", b"x" * (300 * MIB))

    with pytest.raises(ExtractionFailed, match="too much memory"):
        extract(file, "text", max_memory_bytes=400 * MIB)


@pytest.mark.slow
def test_progress_is_reported_for_each_of_thousands_of_pages(tmp_path):
    book = pdf(*([TextLine(60, 700, f"Page {n} of the book")] for n in range(1, 5001)))

    extracted, progress = extract(write_file(tmp_path, "a.pdf", book), "pdf")

    assert extracted.pages[4321] == "Page 4322 of the book" + PAGE_BREAK
    assert progress == [(n, 5000) for n in range(1, 5001)]


@pytest.mark.slow
def test_extraction_fails_on_decompression_bomb(tmp_path):
    bomb = zlib.compress(zlib.compress(bytes(2**29), 1), 9)
    entries = b"/Filter[/FlateDecode/FlateDecode]/Length %d>>" % len(bomb)
    page = pdf([]).replace(b"/Length 0>>", entries)
    file = page.replace(b"stream\n\nendstream", b"stream\n" + bomb + b"\nendstream", 1)

    with pytest.raises(ExtractionFailed) as failure:
        extract(write_file(tmp_path, "a.pdf", file), "pdf", max_memory_bytes=300 * MIB)

    assert failure.value.code == "too_complex"


def test_extraction_process_does_not_inherit_secrets(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "secret")
    popen_options = {}
    popen = subprocess.Popen

    def record_popen(command, **options):
        popen_options.update(options)
        return popen(command, **options)

    monkeypatch.setattr(subprocess, "Popen", record_popen)
    extract(write_file(tmp_path, "a.txt", "x"), "text")

    assert "SECRET_KEY" not in popen_options["env"]


class AttachmentList:
    """Collects the attachments that an extraction sends."""

    def __init__(self):
        self.received = []

    def start_attachment(self, filename, media_type, size_bytes, error_code):
        self.received.append([filename, size_bytes, error_code, b""])

    def write(self, data):
        self.received[-1][3] += data


def test_attachments_are_sent_up_to_the_limit(tmp_path):
    large = bytes(range(256)) * 8000
    message = EmailMessage()
    message["Subject"] = "Files"
    message.set_content("See below.")
    for content in [large, *[b"small"] * MAX_ATTACHMENTS]:
        message.add_attachment(content, maintype="application", subtype="x", filename="a.bin")
    file = tmp_path / "mail"
    file.write_bytes(message.as_bytes())
    attachments = AttachmentList()

    Extractor(ExtractionLimits()).extract_text(
        file, get_document_type("email"), lambda *_: None, None, attachments
    )

    assert attachments.received[0] == ["a.bin", len(large), None, large]
    assert attachments.received[-2] == ["a.bin", 5, None, b"small"]
    assert attachments.received[-1] == ["a.bin", 5, "too_many_attachments", b""]
