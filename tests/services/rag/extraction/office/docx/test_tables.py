"""Tables and tracked deletions of DOCX files."""

import pytest

from backend.services.rag.extraction.office.docx.parser import parse_docx
from tests.documents import docx, paragraph
from tests.services.rag.extraction.office.documents import run

DELETED = '<w:del w:id="1" w:author="A"/>'


@pytest.fixture
def read(parse_with):
    return lambda body: parse_with(parse_docx, docx(body)).text


def cell(text, properties=""):
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{paragraph(text)}</w:tc>"


def row(*cells, properties=""):
    return f"<w:tr><w:trPr>{properties}</w:trPr>{''.join(cells)}</w:tr>"


def span(columns):
    return f'<w:gridSpan w:val="{columns}"/>'


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([row(cell("a", span(2)), cell("b"))], "a\t\tb"),
        ([row(cell("a"), cell("b", span(3)), cell("c"))], "a\tb\t\t\tc"),
        (
            [row(cell("a", '<w:vMerge w:val="restart"/>'), cell("b")),
             row(cell("", "<w:vMerge/>"), cell("c"))],
            "a\tb\n\tc",
        ),
        (
            [row(cell("x", f'{span(2)}<w:vMerge w:val="restart"/>'), cell("y")),
             row(cell("hidden", f'{span(2)}<w:vMerge w:val="continue"/>'), cell("z"))],
            "x\t\ty\n\t\tz",
        ),
        ([row(cell("a"), properties='<w:gridBefore w:val="2"/>')], "\t\ta"),
        (
            [row(cell("a", '<w:hMerge w:val="restart"/>'), cell("", "<w:hMerge/>"), cell("b"))],
            "a\t\tb",
        ),
        ([row(cell("a", span(0)), cell("b", span(99999999)))], "a\tb"),
        ([row(cell("a", span(99999999)), cell("b"))], "a" + "\t" * 63 + "b"),
    ],
)  # fmt: skip
def test_merged_cells_keep_their_columns(read, rows, expected):
    assert read(f"<w:tbl>{''.join(rows)}</w:tbl>") == expected


def test_deleted_rows_and_cells_are_skipped(read):
    rows = [
        row(cell("a"), cell("b", "<w:cellDel/>"), cell("c")),
        row(cell("old"), properties=DELETED),
        row(cell("new"), properties='<w:ins w:id="2" w:author="A"/>'),
    ]

    assert read(f"<w:tbl>{''.join(rows)}</w:tbl>") == "a\tc\nnew"


def marked(text, mark=DELETED):
    return f"<w:p><w:pPr><w:rPr>{mark}</w:rPr></w:pPr>{run(text)}</w:p>"


def test_paragraphs_with_deleted_marks_are_joined(read):
    body = marked("The permit ") + marked("ends when ") + paragraph("we say.") + paragraph("Next.")

    assert read(body) == "The permit ends when we say.\n\nNext."


def test_moved_paragraphs_are_read_once(read):
    moved = "<w:moveFrom>" + run("Moved.") + "</w:moveFrom>"
    body = (
        f'<w:p><w:pPr><w:rPr><w:moveFrom w:id="4"/></w:rPr></w:pPr>{moved}</w:p>'
        + paragraph("Stays.")
        + f"<w:p><w:moveTo>{run('Moved.')}</w:moveTo></w:p>"
    )

    assert read(body) == "Stays.\n\nMoved."


def test_deleted_mark_before_a_table_ends_the_paragraph(read):
    assert read(marked("Before") + f"<w:tbl>{row(cell('a'))}</w:tbl>" + marked("End")) == (
        "Before\n\na\n\nEnd"
    )


def test_deleted_marks_join_paragraphs_of_a_cell(read):
    content = f"<w:tc>{marked('one ')}{paragraph('two')}</w:tc>"

    assert read(f"<w:tbl>{row(content, cell('b'))}</w:tbl>") == "one two\tb"


def test_inserted_mark_separates_paragraphs(read):
    assert read(marked("a", '<w:ins w:id="3"/>') + paragraph("b")) == "a\n\nb"


def test_places_of_merged_cells_are_limited(read):
    assert read(f"<w:tbl>{row(*[cell('a', span(63))] * 1000)}</w:tbl>").count("\t") < 2000
