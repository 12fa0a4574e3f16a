"""Notes and comments of DOCX files."""

import pytest

from backend.services.rag.extraction.office.docx.parser import parse_docx
from tests.documents import docx, paragraph
from tests.services.rag.extraction.office.documents import run, story


def reference(note_id, kind="footnote", attributes="", mark=""):
    return f'<w:r><w:{kind}Reference w:id="{note_id}"{attributes}/>{mark}</w:r>'


def notes(kind, *texts):
    """Return a part with notes; their ids start at 5."""
    items = "".join(
        f'<w:{kind} w:id="{note_id}">{paragraph(text)}</w:{kind}>'
        for note_id, text in enumerate(texts, start=5)
    )
    return story(f"{kind}s", items)


@pytest.fixture
def read(parse_with):
    def read_body(
        body, settings="", footnotes=("One.", "Two.", "Three."), endnotes=("End.", "E2.")
    ):
        parts = {
            "word/footnotes.xml": notes("footnote", *footnotes),
            "word/endnotes.xml": notes("endnote", *endnotes),
            "word/settings.xml": story("settings", settings),
        }
        links = [("f", "footnotes", "footnotes.xml"), ("e", "endnotes", "endnotes.xml"),
                 ("s", "settings", "settings.xml")]  # fmt: skip
        return parse_with(parse_docx, docx(body, parts, links)).text

    return read_body


def properties(kind="footnote", **values):
    settings = "".join(f'<w:{name} w:val="{value}"/>' for name, value in values.items())
    return f"<w:{kind}Pr>{settings}</w:{kind}Pr>"


def section(text, note_id, settings):
    return (
        f"<w:p><w:pPr><w:sectPr>{settings}</w:sectPr></w:pPr>{run(text)}{reference(note_id)}</w:p>"
    )


def test_notes_are_numbered_in_the_order_of_their_references(read):
    body = f"<w:p>{run('a')}{reference(7)}{run('b')}{reference(5)}</w:p>"

    assert read(body) == "a[1]b[2]\n\n[1] Three.\n\n[2] One."


def test_endnotes_have_roman_numbers_by_default(read):
    body = f"<w:p>{run('a')}{reference(5, 'endnote')}{run('b')}{reference(6, 'endnote')}</w:p>"

    assert read(body) == "a[i]b[ii]\n\n[i] End.\n\n[ii] E2."


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (properties(numFmt="lowerLetter"), "[a]"),
        (properties(numFmt="chicago"), "[*]"),
        (properties(numStart="7"), "[7]"),
        (properties(numFmt="upperRoman", numStart="4"), "[IV]"),
        (properties("endnote", numFmt="chicago"), "[1]"),
    ],
)
def test_document_settings_determine_the_numbers(read, settings, expected):
    assert read(f"<w:p>{run('a')}{reference(5)}</w:p>", settings).startswith(f"a{expected}")


def test_sections_restart_and_format_numbers(read):
    restart = properties(numRestart="eachSect")
    letters = properties(numRestart="eachSect", numFmt="upperLetter")
    body = (
        section("a", 5, restart)
        + section("b", 6, letters)
        + f"<w:p>{run('c')}{reference(7)}</w:p><w:sectPr>{restart}</w:sectPr>"
    )

    text = read(body)

    assert text == "a[1]\n\n[1] One.\n\nb[A]\n\n[A] Two.\n\nc[1]\n\n[1] Three."


def test_pages_restart_numbers(read):
    body = (
        f"<w:p>{run('a')}{reference(5)}</w:p>"
        f"<w:p><w:r><w:lastRenderedPageBreak/><w:t>b</w:t></w:r>{reference(6)}</w:p>"
    )

    assert "b[1]" in read(body, properties(numRestart="eachPage"))
    assert "b[2]" in read(body)


def test_custom_mark_is_not_counted(read):
    mark = "<w:t>*</w:t>"
    custom = reference(5, attributes=' w:customMarkFollows="1"', mark=mark)
    body = f"<w:p>{run('a')}{custom}{run('b')}{reference(6)}</w:p>"

    assert read(body, footnotes=("* One.", "Two.")) == "a*b[1]\n\n* One.\n\n[1] Two."


def test_deleted_reference_is_not_counted(read):
    body = f"<w:p>{run('a')}<w:del>{reference(5)}</w:del>{reference(6)}</w:p>"

    assert read(body) == "a[1]\n\n[1] Two."


def test_mark_stays_apart_from_a_number(read):
    raised = '<w:rPr><w:vertAlign w:val="superscript"/></w:rPr>'
    body = f"<w:p>{run('500')}{reference(5).replace('<w:r>', f'<w:r>{raised}')}</w:p>"

    assert read(body).startswith("500[1]\n")


def test_paragraphs_of_a_note_are_separated(parse_with):
    note = f'<w:footnote w:id="5">{paragraph("One")}{paragraph("two.")}</w:footnote>'
    parts = {"word/footnotes.xml": story("footnotes", note)}
    content = docx(f"<w:p>{reference(5)}</w:p>", parts, [("f", "footnotes", "footnotes.xml")])

    assert parse_with(parse_docx, content).text == "[1]\n\n[1] One two."


def test_comments_follow_their_paragraph(parse_with):
    items = "".join(
        f'<w:comment w:id="{number}" w:author="{author}">{paragraph(text)}</w:comment>'
        for number, author, text in [(3, "Ana", "Really?"), (4, "", "Yes."), (8, "Bo", "Old.")]
    )
    parts = {"word/comments.xml": story("comments", items)}
    body = (
        f'<w:p><w:commentRangeStart w:id="3"/>{run("Nine tons")}<w:commentRangeEnd w:id="3"/>'
        f'<w:r><w:commentReference w:id="3"/></w:r>{run(" in May.")}'
        f'<w:r><w:commentReference w:id="4"/></w:r></w:p>{paragraph("Next.")}'
    )

    parsed = parse_with(parse_docx, docx(body, parts, [("c", "comments", "comments.xml")]))

    assert parsed.text == (
        "Nine tons in May.\n\nComment (Ana): Really?\n\nComment: Yes.\n\nNext.\n\n"
        "Comment (Bo): Old."
    )
