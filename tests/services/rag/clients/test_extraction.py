"""Reading real files, hostile files, and files that never end."""

import subprocess
import sys
import time
import zlib

import pytest

from backend.services.rag.clients.extraction import PAGE_BREAK, Extractor, Limits
from backend.services.rag.errors import ExtractionFailed
from tests.documents import Words, pdf
from tests.services.rag.conftest import MIB, PDF


def extract(file, kind, **limits):
    seen = []
    extracted = Extractor(Limits(**limits)).extract(file, kind, lambda *at: seen.append(at))
    return extracted, seen


def written(folder, name, content):
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def test_a_pdf_is_read_page_by_page():
    extracted, seen = extract(PDF, "pdf")

    assert extracted.paged
    assert len(extracted.pages) == 5
    assert seen == [(n, 5) for n in range(1, 6)]
    assert extracted.pages[0].startswith("The Evolution of the Word Processor\n")
    assert "paved the way for self-\npublishing" in extracted.pages[3]
    assert all(page.endswith(PAGE_BREAK) for page in extracted.pages)


def test_markdown_tells_title_and_headings_but_not_those_in_code(tmp_path):
    text = "# The Manual\n\nIntro.\n\n```\n# a comment\n```\n\n## Setup ##\n\nPlug it in.\n"
    extracted, _ = extract(written(tmp_path, "a.md", text), "markdown")

    whole = "".join(extracted.pages)
    assert extracted.title == "The Manual"
    assert [(whole[at : at + 4], title) for at, title in extracted.headings] == [
        ("# Th", "The Manual"),
        ("## S", "Setup"),
    ]
    assert not extracted.paged


def test_html_is_what_a_reader_sees(tmp_path):
    page = (
        "<!doctype html><title>Shop &amp; more</title><style>p{}</style>"
        "<script>alert('x')</script><h1>Refunds</h1><p>Within <b>14</b> days.</p>"
        "<ul><li>By card<li>In cash</ul><table><tr><td>a</td><td>b</td></tr></table>"
    )
    extracted, _ = extract(written(tmp_path, "a.html", page), "html")

    text = "".join(extracted.pages)
    assert extracted.title == "Shop & more"
    assert "Refunds\n\nWithin 14 days.\n\n• By card\n• In cash" in text
    assert "alert" not in text
    assert [title for _, title in extracted.headings] == ["Refunds"]


@pytest.mark.parametrize(
    ("name", "kind", "content", "code"),
    [
        ("a.pdf", "pdf", b"%PDF-1.7\n1 0 obj\n", "unreadable_document"),
        ("a.docx", "docx", b"PK\x03\x04 word/document.xml", "unreadable_document"),
    ],
)
def test_a_damaged_file_is_unreadable(tmp_path, name, kind, content, code):
    with pytest.raises(ExtractionFailed) as failure:
        extract(written(tmp_path, name, content), kind)

    assert failure.value.code == code


def test_too_much_text_is_refused(tmp_path):
    with pytest.raises(ExtractionFailed, match="more text"):
        extract(written(tmp_path, "a.txt", "word " * 100), "text", characters=100)


class Sleeper(Extractor):
    """Starts a process that never answers in place of the extraction process."""

    def _command(self, file, kind):
        return [sys.executable, "-c", "import time; time.sleep(60)"]


def test_what_takes_too_long_is_killed(tmp_path):
    began = time.monotonic()

    with pytest.raises(ExtractionFailed, match="too long"):
        Sleeper(Limits(seconds=1)).extract(written(tmp_path, "a.txt", "x"), "text", print)

    assert time.monotonic() - began < 5


def test_after_stop_nothing_is_read_any_more(tmp_path):
    extractor = Sleeper(Limits(seconds=30))
    extractor.stop()
    began = time.monotonic()

    with pytest.raises(ExtractionFailed):
        extractor.extract(written(tmp_path, "a.txt", "x"), "text", print)

    assert time.monotonic() - began < 5


def test_what_needs_too_much_memory_fails_and_not_the_service(tmp_path):
    file = written(tmp_path, "a.txt", b"x" * (300 * MIB))

    with pytest.raises(ExtractionFailed, match="too much memory"):
        extract(file, "text", memory_bytes=400 * MIB)


def test_thousands_of_pages_are_read_with_progress(tmp_path):
    book = pdf(*([Words(60, 700, f"Page {n} of the book")] for n in range(1, 5001)))

    extracted, seen = extract(written(tmp_path, "a.pdf", book), "pdf")

    assert extracted.pages[4321] == "Page 4322 of the book" + PAGE_BREAK
    assert seen == [(n, 5000) for n in range(1, 5001)]


def test_a_page_that_unpacks_to_more_than_the_memory_fails(tmp_path):
    bomb = zlib.compress(zlib.compress(bytes(2**29), 1), 9)
    entries = b"/Filter[/FlateDecode/FlateDecode]/Length %d>>" % len(bomb)
    page = pdf([]).replace(b"/Length 0>>", entries)
    file = page.replace(b"stream\n\nendstream", b"stream\n" + bomb + b"\nendstream", 1)

    with pytest.raises(ExtractionFailed) as failure:
        extract(written(tmp_path, "a.pdf", file), "pdf", memory_bytes=300 * MIB)

    assert failure.value.code == "too_complex"


def test_the_process_sees_none_of_our_secrets_and_writes_no_file(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "do not tell")
    started = {}
    real = subprocess.Popen

    def watched(command, **options):
        started.update(options)
        return real(command, **options)

    monkeypatch.setattr(subprocess, "Popen", watched)
    extract(written(tmp_path, "a.txt", "x"), "text")

    assert "SECRET_KEY" not in started["env"]
