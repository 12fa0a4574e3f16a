"""Parser of PPTX: slides are pages."""

import io

import pytest
from pptx import Presentation
from pptx.util import Inches

from backend.services.rag.extraction.content import UnreadableFile
from backend.services.rag.extraction.office.pptx import parser as pptx
from tests.documents import RELATIONS, package
from tests.services.rag.extraction.office.documents import A, C, M, chart, series

P = "http://schemas.openxmlformats.org/presentationml/2006/main"
MC = "http://schemas.openxmlformats.org/markup-compatibility/2006"


@pytest.fixture
def slides():
    presentation = Presentation()
    first = presentation.slides.add_slide(presentation.slide_layouts[5])
    table = first.shapes.add_table(2, 2, Inches(1), Inches(2), Inches(4), Inches(1)).table
    for index, text in enumerate(("Item", "Price", "Nut", "1.20")):
        table.cell(index // 2, index % 2).text = text
    first.shapes.title.text = "Prices"
    second = presentation.slides.add_slide(presentation.slide_layouts[1])
    second.shapes.title.text = "Next steps"
    second.placeholders[1].text = "Order\nPay"
    second.notes_slide.notes_text_frame.text = "Mention the discount."
    presentation.slides.add_slide(presentation.slide_layouts[6])
    content = io.BytesIO()
    presentation.save(content)
    return content.getvalue()


def test_slides_are_pages_with_titles_tables_and_notes(parse_with, slides):
    parsed = parse_with(pptx.parse_pptx, slides)

    assert parsed.pages == [
        "Prices\n\nItem\tPrice\nNut\t1.20",
        "Next steps\n\nOrder\nPay\n\nNotes: Mention the discount.",
        "",
    ]
    assert parsed.headings == parsed.text_at_headings == ["Prices", "Next steps"]
    assert (parsed.title, parsed.page_count) == ("Prices", 3)


def test_truncated_presentation_is_rejected(parse_with, slides):
    with pytest.raises(UnreadableFile, match="PPTX"):
        parse_with(pptx.parse_pptx, slides[: len(slides) // 2])


def slide_xml(shapes):
    return (
        f'<p:sld xmlns:p="{P}" xmlns:a="{A}" xmlns:r="{RELATIONS}"><p:cSld><p:spTree>{shapes}'
        "</p:spTree></p:cSld></p:sld>"
    )


def shape(paragraphs):
    return f"<p:sp><p:txBody>{paragraphs}</p:txBody></p:sp>"


def text_run(text, properties=""):
    return f"<a:r>{properties}<a:t>{text}</a:t></a:r>"


@pytest.fixture
def read_slide(parse_with):
    """Return `read_slide(shapes, parts, relations)`, which returns the text of a slide."""

    def read(shapes, parts=None, relations=(), book_relations=()):
        main = "ppt/presentation.xml"
        book = (
            f'<p:presentation xmlns:p="{P}" xmlns:r="{RELATIONS}"><p:sldIdLst>'
            '<p:sldId r:id="r1"/></p:sldIdLst></p:presentation>'
        )
        links = [(main, "r1", "slide", "slide.xml")]
        links += [(main, *relation) for relation in book_relations]
        links += [("ppt/slide.xml", *relation) for relation in relations]
        content = {main: book, "ppt/slide.xml": slide_xml(shapes), **(parts or {})}
        return parse_with(pptx.parse_pptx, package(main, content, links)).text

    return read


@pytest.mark.parametrize(
    ("paragraph", "expected"),
    [
        (text_run("8·10") + text_run("14", '<a:rPr baseline="30000"/>'), "8·10¹⁴"),
        (text_run("CO") + text_run("2", '<a:rPr baseline="-25000"/>') + text_run(" up"), "CO₂ up"),
        (text_run("25 m") + text_run("2", '<a:rPr baseline="30%"/>'), "25 m²"),
        (text_run("5") + text_run("0", '<a:rPr baseline="0"/>'), "50"),
        (
            text_run("\uf0fc", '<a:rPr><a:sym typeface="Wingdings"/></a:rPr>') + text_run(" ok"),
            "✓ ok",
        ),
        (text_run("90") + text_run("\uf0b0", '<a:rPr><a:latin typeface="Symbol"/></a:rPr>'), "90°"),
        (text_run("a") + "<a:br/>" + text_run("b"), "a\nb"),
    ],
)
def test_runs_are_read_as_displayed(read_slide, paragraph, expected):
    assert read_slide(shape(f"<a:p>{paragraph}</a:p>")) == expected


def test_equation_is_read_in_place_of_its_picture(read_slide):
    equation = (
        f'<m:oMath xmlns:m="{M}"><m:f><m:num><m:r><m:t>5</m:t></m:r></m:num><m:den><m:r>'
        "<m:t>9</m:t></m:r></m:den></m:f></m:oMath>"
    )
    content = (
        f"<a:p>{text_run('C = ')}<mc:AlternateContent xmlns:mc='{MC}'><mc:Choice Requires='a14'>"
        f"<a14:m xmlns:a14='http://schemas.microsoft.com/office/drawing/2010/main'>{equation}</a14:m>"
        f"</mc:Choice><mc:Fallback>{text_run('59')}</mc:Fallback></mc:AlternateContent></a:p>"
    )

    assert read_slide(shape(content)) == "C = 5/9"


def test_chart_is_read(read_slide):
    frame = (
        f'<p:graphicFrame><a:graphic><a:graphicData><c:chart xmlns:c="{C}" r:id="r5"/>'
        "</a:graphicData></a:graphic></p:graphicFrame>"
    )
    content = chart(f"<c:barChart>{series('Stein', ['Nord'], ['2275'])}</c:barChart>")

    text = read_slide(frame, {"ppt/charts/c.xml": content}, [("r5", "chart", "charts/c.xml")])

    assert text == "\tStein\nNord\t2275"


def test_merged_cells_keep_their_columns(read_slide):
    def cell(text, attributes=""):
        content = f"<a:p>{text_run(text)}</a:p>"
        return f"<a:tc {attributes}><a:txBody>{content}</a:txBody></a:tc>"

    below = cell("y", "vMerge='true'")
    merged = cell("A", "gridSpan='2'") + cell("x", "hMerge='1'")
    rows = f"<a:tr>{merged}{cell('B')}</a:tr><a:tr>{cell('1')}{cell('2')}{below}</a:tr>"
    frame = f"<p:graphicFrame><a:graphic><a:tbl>{rows}</a:tbl></a:graphic></p:graphicFrame>"

    assert read_slide(frame) == "A\t\tB\n1\t2"


def test_comments_are_read_with_their_authors(read_slide):
    authors = f'<p:cmAuthorLst xmlns:p="{P}"><p:cmAuthor id="0" name="Ana"/></p:cmAuthorLst>'
    comments = (
        f'<p:cmLst xmlns:p="{P}"><p:cm authorId="0"><p:text>Ask first.</p:text></p:cm>'
        '<p:cm authorId="9"><p:text>Done.</p:text></p:cm></p:cmLst>'
    )

    text = read_slide(
        shape(f"<a:p>{text_run('Plan')}</a:p>"),
        {"ppt/c.xml": comments, "ppt/authors.xml": authors},
        [("r5", "comments", "c.xml")],
        [("r6", "commentAuthors", "authors.xml")],
    )

    assert text == "Plan\n\nComment (Ana): Ask first.\n\nComment: Done."


def test_threaded_comments_are_read_with_their_replies(read_slide):
    namespace = "http://schemas.microsoft.com/office/powerpoint/2018/8/main"
    body = "<p188:txBody><a:p><a:r><a:t>{}</a:t></a:r></a:p></p188:txBody>"
    comments = (
        f'<p188:cmLst xmlns:p188="{namespace}" xmlns:a="{A}"><p188:cm authorId="{{1}}">'
        f'<p188:replyLst><p188:reply authorId="{{2}}">{body.format("Yes.")}</p188:reply>'
        f"</p188:replyLst>{body.format('Really?')}</p188:cm></p188:cmLst>"
    )
    authors = (
        f'<p188:authorLst xmlns:p188="{namespace}"><p188:author id="{{1}}" name="Ana"/>'
        '<p188:author id="{2}" name="Bo"/></p188:authorLst>'
    )

    text = read_slide(
        "",
        {"ppt/c.xml": comments, "ppt/authors.xml": authors},
        [("r5", "comments", "c.xml")],
        [("r6", "authors", "authors.xml")],
    )

    assert text == "Comment (Ana): Really?\n\nComment (Bo): Yes."
