"""Content of sheets: strings, text boxes, charts and comments."""

import pytest

from backend.services.rag.extraction.office.xlsx.parser import parse_xlsx
from tests.documents import RELATIONS, package
from tests.services.rag.extraction.office.documents import (
    XDR,
    A,
    C,
    S,
    chart,
    series,
    text_cell,
    title,
    xlsx,
)

THREADED = "http://schemas.microsoft.com/office/spreadsheetml/2018/threadedcomments"
MC = "http://schemas.openxmlformats.org/markup-compatibility/2006"


@pytest.fixture
def read(parse_with):
    """Return `read(rows, …)`, which returns the text of a sheet without its name."""
    return lambda *content, **more: (
        parse_with(parse_xlsx, xlsx(*content, **more)).text.removeprefix("Data").strip("\n")
    )


def string_run(text, properties=""):
    return f'<r><rPr>{properties}</rPr><t xml:space="preserve">{text}</t></r>'


RAISED, LOWERED = '<vertAlign val="superscript"/>', '<vertAlign val="subscript"/>'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one_x000D_\ntwo", "one two"),
        ("Tray_x0009_7", "Tray 7"),
        ("Caf_x00E9_", "Café"),
        ("name_x005F_x0041_end", "name_x0041_end"),
        ("_xD83D__xDE00_", "😀"),
        ("_xD83D_x", "\ufffdx"),
        ("_x12_ _xGGGG_", "_x12_ _xGGGG_"),
        ("_x000a_a_x000A_b", "a b"),
        (f"<r><t>10</t></r>{string_run('6', RAISED)}", "10⁶"),
        (f"{string_run('CO')}{string_run('2', LOWERED)}{string_run(' in air')}", "CO₂ in air"),
        (string_run("ü", '<rFont val="Wingdings"/>') + string_run(" paid"), "✓ paid"),
        ('<t>東京</t><rPh sb="0" eb="2"><t>トウキョウ</t></rPh><phoneticPr fontId="1"/>', "東京"),
        ('<r><t>図書</t></r><r><t>館</t></r><rPh sb="0" eb="3"><t>としょかん</t></rPh>', "図書館"),
    ],
)
def test_string_is_read_as_displayed(read, text, expected):
    assert read(f"<row>{text_cell(text)}</row>") == expected


def test_results_of_formulas_and_shared_strings_are_decoded(parse_with):
    book = (
        f'<workbook xmlns="{S}" xmlns:r="{RELATIONS}"><sheets><sheet name="A_x0026_B" r:id="r1"/>'
        "</sheets></workbook>"
    )
    rows = '<row><c t="s"><v>0</v></c><c t="str"><f>A1</f><v>x_x000D_y</v></c></row>'
    parts = {
        "xl/workbook.xml": book,
        "xl/s.xml": f'<worksheet xmlns="{S}"><sheetData>{rows}</sheetData></worksheet>',
        "xl/t.xml": f'<sst xmlns="{S}"><si><t>m_x00B2_</t></si></sst>',
    }
    links = [("xl/workbook.xml", "r1", "worksheet", "s.xml"),
             ("xl/workbook.xml", "r2", "sharedStrings", "t.xml")]  # fmt: skip

    parsed = parse_with(parse_xlsx, package("xl/workbook.xml", parts, links))

    assert parsed.text == "A&B\n\nm²\tx y"


def test_text_is_formatted_by_its_section_and_font(read):
    styles = (
        '<numFmts><numFmt numFmtId="170" formatCode="0;-0;0;&quot;Nr. &quot;@"/></numFmts>'
        '<fonts><font><name val="Calibri"/></font><font><name val="Wingdings"/></font></fonts>'
        '<cellXfs><xf fontId="0"/><xf numFmtId="170"/><xf fontId="1"/></cellXfs>'
    )
    cells = [text_cell(text).replace("<c ", f'<c s="{style}" ')
             for style, text in enumerate(["a", "b", "\u00fc"])]  # fmt: skip

    assert read(f"<row>{''.join(cells)}</row>", styles=styles) == "a\tNr. b\t✓"


def drawing(shapes):
    return f'<xdr:wsDr xmlns:xdr="{XDR}" xmlns:a="{A}" xmlns:r="{RELATIONS}">{shapes}</xdr:wsDr>'


def text_box(text, attributes=""):
    return (
        f'<xdr:sp><xdr:nvSpPr><xdr:cNvPr id="2" name="Box" {attributes}/></xdr:nvSpPr>'
        f"<xdr:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></xdr:txBody></xdr:sp>"
    )


DRAWING = [("d", "drawing", "drawing.xml")]


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        (
            f"<xdr:twoCellAnchor>{text_box('Umsatz in Tsd. €')}</xdr:twoCellAnchor>",
            "Umsatz in Tsd. €",
        ),
        (
            (
                f"<xdr:oneCellAnchor><xdr:grpSp><xdr:grpSp>{text_box('a')}</xdr:grpSp>{text_box('b')}"
                "</xdr:grpSp></xdr:oneCellAnchor>"
            ),
            "a\n\nb",
        ),
        (
            (
                f"<mc:AlternateContent xmlns:mc='{MC}'><mc:Choice>{text_box('new')}</mc:Choice>"
                f"<mc:Fallback>{text_box('old')}</mc:Fallback></mc:AlternateContent>"
            ),
            "new",
        ),
        (text_box("x", 'hidden="1"') + text_box("y"), "y"),
    ],
)
def test_text_boxes_follow_the_cells(read, shapes, expected):
    text = read(f"<row>{text_cell('cell')}</row>", {"drawing.xml": drawing(shapes)}, DRAWING)

    assert text == f"cell\n\n{expected}"


def test_labels_of_form_controls_are_read(read):
    extension = (
        '<a:extLst><a:ext uri="x"><a14:compatExt xmlns:a14="http://schemas.microsoft.com/office/'
        'drawing/2010/main" spid="_x0000_s1025"/></a:ext></a:extLst>'
    )
    control = text_box("Bezahlt", 'hidden="1"').replace(
        "/></xdr:nv", f">{extension}</xdr:cNvPr></xdr:nv"
    )

    assert read("", {"drawing.xml": drawing(control)}, DRAWING) == "Bezahlt"


def test_chart_sheet_is_a_page(parse_with):
    content = chart(f"<c:pieChart>{series('s', ['a'], ['1'])}</c:pieChart>", title("T"))
    book = (
        f'<workbook xmlns="{S}" xmlns:r="{RELATIONS}"><sheets><sheet name="Chart1" r:id="r1"/>'
        "</sheets></workbook>"
    )
    parts = {
        "xl/workbook.xml": book,
        "xl/cs.xml": f'<chartsheet xmlns="{S}"><drawing/></chartsheet>',
        "xl/drawing.xml": drawing(chart_frame()),
        "xl/chart.xml": content,
    }
    links = [
        ("xl/workbook.xml", "r1", "chartsheet", "cs.xml"),
        ("xl/cs.xml", "d", "drawing", "drawing.xml"),
        ("xl/drawing.xml", "c1", "chart", "chart.xml"),
    ]

    parsed = parse_with(parse_xlsx, package("xl/workbook.xml", parts, links))

    assert parsed.text == "Chart1\n\nT\n\n\ts\na\t1"


def chart_frame(identifier="c1"):
    return (
        f'<xdr:graphicFrame><a:graphic><a:graphicData><c:chart xmlns:c="{C}" r:id="{identifier}"/>'
        "</a:graphicData></a:graphic></xdr:graphicFrame>"
    )


@pytest.mark.parametrize(
    ("sheet", "expected"),
    [("Data", "Nächte"), ("Hidden", "Nächte\n\n\tFrost\nJan.\t31"),
     ("'Data'", "Nächte"), ("[2]Data", "Nächte\n\n\tFrost\nJan.\t31")],
)  # fmt: skip
def test_charts_show_values_that_are_not_on_a_visible_sheet(parse_with, sheet, expected):
    content = chart(
        f"<c:barChart>{series('Frost', ['Jan.'], ['31'])}</c:barChart>", title("Nächte")
    ).replace("Data!", f"{sheet}!")
    file = xlsx(
        "",
        {"drawing.xml": drawing(chart_frame()), "chart.xml": content},
        DRAWING,
        more_relations=[("xl/drawing.xml", "c1", "chart", "chart.xml")],
    )

    assert parse_with(parse_xlsx, file).text == f"Data\n\n{expected}"


def notes(*comments):
    items = "".join(
        f'<comment ref="{ref}" authorId="{author}"><text>{text}</text></comment>'
        for ref, author, text in comments
    )
    authors = "<author>Ana</author><author>tc={{1}}</author>"
    return (
        f'<comments xmlns="{S}"><authors>{authors}</authors><commentList>{items}</commentList>'
        "</comments>"
    )


def test_comments_name_their_cell_and_author(read):
    part = notes(
        ("B2", 0, f"{string_run('Ana:', '<b/>')}{string_run('&#10;Reduced to 30.')}"),
        ("C7", 9, "<t>No_x000D_ author</t>"),
    )

    assert read("", {"comments.xml": part}, [("n", "comments", "comments.xml")]) == (
        "Comment on B2 (Ana): Reduced to 30.\n\nComment on C7: No author"
    )


def test_threaded_comments_are_read_once(parse_with):
    threaded = (
        f'<ThreadedComments xmlns="{THREADED}">'
        '<threadedComment ref="B2" personId="{7}" id="{1}"><text>Really?</text></threadedComment>'
        '<threadedComment ref="B2" personId="{8}" id="{2}" parentId="{1}"><text>Yes.</text>'
        "</threadedComment></ThreadedComments>"
    )
    persons = (
        f'<personList xmlns="{THREADED}"><person id="{{7}}" displayName="Zoë"/>'
        '<person id="{8}" displayName="Bo"/></personList>'
    )
    copy = notes(("B2", 1, "<t>[Threaded comment] Your version …</t>"), ("C3", 0, "<t>Old</t>"))
    file = xlsx(
        "",
        {"n.xml": copy, "t.xml": threaded, "p.xml": persons},
        [("n", "comments", "n.xml"), ("t", "threadedComment", "t.xml")],
        more_relations=[("xl/workbook.xml", "p", "person", "p.xml")],
    )

    assert parse_with(parse_xlsx, file).text == (
        "Data\n\nComment on C3 (Ana): Old\n\nComment on B2 (Zoë): Really?\n\n"
        "Comment on B2 (Bo): Yes."
    )
