"""Upload, search and download of every supported file type."""

import io

import pytest
import xlsxwriter
from pptx import Presentation

from tests.databases import contents, database_in, execute
from tests.documents import TextLine, docx, encrypted, paragraph, pdf, picture
from tests.services.rag.conftest import MIB

TERM = "The notice period is three months."
PAGE = [TextLine(60, 700, TERM)]
LOCKED = encrypted(pdf(PAGE), "open sesame")


def build_pptx():
    presentation = Presentation()
    presentation.slides.add_slide(presentation.slide_layouts[6])
    slide = presentation.slides.add_slide(presentation.slide_layouts[5])
    slide.shapes.title.text = TERM
    return save_to_bytes(presentation.save)


def build_xlsx():
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True}) as book:
        book.add_worksheet("Numbers").write_row(0, 0, range(1000, 1100))
        book.add_worksheet("Terms").write(0, 0, TERM)
    return buffer.getvalue()


def save_to_bytes(save):
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "content_type", "page", "pages"),
    [
        ("a.pdf", pdf([], PAGE), "application/pdf", 2, 2),
        ("a.docx", docx(paragraph(TERM)), "wordprocessingml.document", None, None),
        ("a.pptx", build_pptx(), "presentationml.presentation", 2, 2),
        ("a.xlsx", build_xlsx(), "spreadsheetml.sheet", 2, 2),
        ("a.html", f"<p>{TERM}", "text/html", None, None),
        ("a.md", f"# A\n\n{TERM}", "text/markdown", None, None),
        ("a.csv", f"a;b\n1;{TERM}", "text/csv", None, None),
        ("a.txt", TERM.encode("utf-16"), "text/plain", None, None),
        ("a.eml", f"Subject: x\n\n{TERM}", "message/rfc822", None, None),
        ("a.ics", f"BEGIN:VEVENT\nSUMMARY:{TERM}\n", "text/calendar", None, None),
        ("a.json", f'{{"term": "{TERM}"}}', "application/json", None, None),
        ("a.jsonl", f'{{"term": "{TERM}"}}\n', "application/jsonl", None, None),
        ("a.png", picture(TERM, (700, 100)), "image/png", 1, 1),
    ],
)
def test_each_file_type_is_indexed_and_downloadable(
    shared_user, name, content, content_type, page, pages
):
    ada = shared_user(f"user-of-{name}")
    content = content if isinstance(content, bytes) else content.encode()

    document = ada.upload(content, name)

    assert document["content_type"].endswith(content_type)
    assert document["pages"] == pages
    (hit,) = [hit for hit in ada.search(TERM, mode="keyword") if TERM in hit["text"]]
    assert hit["page"] == page
    with ada("GET", f"/documents/{document['id']}/content") as original:
        assert original.data == content


def get_error_code(response):
    (document,) = response.json["documents"]
    assert document["status"] == "failed", document
    return document["error"]["code"]


def test_encrypted_pdf_is_processed_with_its_password(ada):
    assert get_error_code(ada.send(LOCKED, "a.pdf")) == "password_required"
    assert get_error_code(ada.send(LOCKED, "a.pdf", password="guess")) == "wrong_password"

    response = ada.send(LOCKED, "a.pdf", password="open sesame")

    assert response.status_code == 200
    assert response.json["documents"][0]["status"] == "ready"
    assert ada.search(TERM)[0]["text"] == TERM


def test_password_is_stored_encrypted_and_deleted_after_use(ada, tmp_path):
    responses = [
        ada.send(LOCKED, "a.pdf", password="open sesame", wait=0),
        ada.send(LOCKED + b"\n", "b.pdf", password="a guess of mine", wait=30),
        ada.send(b"no need of one", "c.txt", password="open sesame"),
    ]

    assert [response.status_code for response in responses] == [202, 201, 201]
    ada.send(LOCKED, "a.pdf")
    tables = str(contents(database_in(tmp_path, "rag"), "rag"))
    assert "open sesame" not in tables
    assert "a guess of mine" not in tables
    for file in tmp_path.rglob("*.db*"):
        assert b"open sesame" not in file.read_bytes()
        assert b"a guess of mine" not in file.read_bytes()
    passwords = execute(
        database_in(tmp_path, "rag"), "rag", "SELECT sealed_password FROM documents"
    )
    assert passwords == [(None,)] * 3


@pytest.mark.parametrize("password", ["x" * 201, "two\nlines"])
def test_password_must_be_one_short_line(ada, password):
    response = ada.send(LOCKED, "a.pdf", password=password)

    assert response.status_code == 422
    assert response.json["errors"][0]["pointer"] == "#/password"


def test_pdf_with_owner_password_only_is_processed(ada):
    ada.upload(encrypted(pdf(PAGE)), "protected.pdf")

    assert ada.search(TERM)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("cut.pdf", pdf(PAGE)[:120], "unreadable_document"),
        ("cut.png", picture(TERM)[:900], "unreadable_document"),
        ("empty.pdf", pdf([]), "no_text"),
        ("blank.png", picture(""), "no_text"),
        ("broken.json", b'{"a": ', "unreadable_document"),
        ("bomb.docx", docx(f"<!-- {'x' * (101 * MIB)} -->"), "too_much_text"),
    ],
)
def test_unusable_file_fails_with_error_code(shared_user, name, content, code):
    ada = shared_user("user-of-unusable-files")

    assert get_error_code(ada.send(content, name)) == code
    assert ada.search("notice", mode="keyword") == []
