"""Text of the paragraphs of DOCX files: runs, fields, symbols, equations, drawings."""

# ruff: noqa: RUF001
import pytest

from backend.services.rag.extraction.office.docx.parser import parse_docx
from tests.documents import RELATIONS, docx, paragraph
from tests.services.rag.extraction.office.documents import (
    A,
    C,
    M,
    chart,
    field,
    instruction,
    run,
    series,
    story,
    title,
)

VML = "urn:schemas-microsoft-com:vml"
RAISED = '<w:vertAlign w:val="superscript"/>'
STYLES = story(
    "styles",
    f'<w:style w:styleId="Hochgestellt"><w:name w:val="Raised"/><w:rPr>{RAISED}</w:rPr></w:style>'
    '<w:style w:styleId="Own"><w:name w:val="Own"/><w:basedOn w:val="Hochgestellt"/></w:style>',
)


@pytest.fixture
def read(parse_with):
    def read_body(body, parts=None, relations=()):
        return parse_with(parse_docx, docx(body, parts, relations)).text

    return read_body


def form(content):
    return f"<w:ffData>{content}</w:ffData>"


def check_box(content):
    return field("FORMCHECKBOX", form=form(f"<w:checkBox>{content}</w:checkBox>"))


def drop_down(content, entries=("Red", "Green", "Blue")):
    choices = "".join(f'<w:listEntry w:val="{entry}"/>' for entry in entries)
    return field("FORMDROPDOWN", form=form(f"<w:ddList>{content}{choices}</w:ddList>"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (run("10") + run("6", RAISED), "10⁶"),
        (run("10") + run("−", RAISED) + run("3", RAISED) + run(" m"), "10⁻³ m"),
        (run("CO") + run("2", '<w:vertAlign w:val="subscript"/>'), "CO₂"),
        (run("the 2") + run("nd", RAISED) + run(" of May"), "the 2nd of May"),
        (run("10") + run("6", '<w:position w:val="8"/>'), "10⁶"),
        (run("CO") + run("2", '<w:position w:val="-6"/>'), "CO₂"),
        (run("10") + run("6", '<w:position w:val="1"/>'), "106"),
        (run("a") + run("2", f'{RAISED}<w:vanish w:val="0"/>'), "a²"),
        (run("m") + run("2", '<w:rStyle w:val="Own"/>'), "m²"),
        (run("m") + run("2", '<w:rStyle w:val="Own"/><w:vertAlign w:val="baseline"/>'), "m2"),
        (f"<w:hyperlink>{run('5')}{run('2', RAISED)}</w:hyperlink>", "5²"),
    ],
)
def test_raised_and_lowered_runs_stay_apart(read, content, expected):
    links = [("r2", "styles", "styles.xml")]

    assert read(f"<w:p>{content}</w:p>", {"word/styles.xml": STYLES}, links) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (run("45") + '<w:r><w:sym w:font="Symbol" w:char="F0B0"/></w:r>', "45°"),
        ('<w:r><w:sym w:font="Wingdings" w:char="F0FE"/></w:r>' + run(" paid"), "☑ paid"),
        (run("\uf0fc", '<w:rFonts w:ascii="Wingdings" w:hAnsi="Wingdings"/>'), "✓"),
        (run("5 m", '<w:rFonts w:ascii="Symbol" w:hAnsi="Symbol"/>') + run("m"), "5 μm"),
        (run("x") + run("\uf0b2", '<w:rFonts w:hAnsi="Symbol"/>' + RAISED), "x″"),
        ('<w:r><w:sym w:font="Arial" w:char="00BD"/></w:r>', "½"),
    ],
)
def test_symbols_are_decoded(read, content, expected):
    assert read(f"<w:p>{content}</w:p>") == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (check_box('<w:default w:val="1"/>'), "☒"),
        (check_box('<w:default w:val="1"/><w:checked w:val="0"/>'), "☐"),
        (check_box("<w:checked/>"), "☒"),
        (check_box(""), "☐"),
        (drop_down('<w:result w:val="2"/>'), "Blue"),
        (drop_down('<w:default w:val="1"/>'), "Green"),
        (drop_down(""), "Red"),
        (drop_down('<w:result w:val="9"/>'), ""),
        (drop_down("", ()), ""),
        (field("FORMTEXT", "Ana", form("<w:textInput/>")), "Ana"),
        (field("DATE", "4 May"), "4 May"),
        (field(instruction(" IF ") + field("PAGE", "7") + instruction("= 1 a b"), "b"), "b"),
        (f'<w:r><w:fldChar w:fldCharType="begin"/></w:r>{run("lost?")}', ""),
    ],
)
def test_fields_show_their_values(read, content, expected):
    assert read(f"<w:p>{content}</w:p>") == expected


def test_hidden_end_of_a_field_ends_it(read):
    hidden = "<w:rPr><w:vanish/></w:rPr>"
    index_entry = field('XE "pump"').replace("<w:r><w:instrText", f"<w:r>{hidden}<w:instrText")
    begin, _, rest = index_entry.partition("</w:r>")
    body = f"<w:p>{run('The ')}{begin}</w:r>{rest.replace('<w:r><w:f', f'<w:r>{hidden}<w:f')}"

    assert read(f"{body}{run('pump')}</w:p>") == "The pump"


def test_many_nested_fields_take_linear_time(read):
    begin = '<w:r><w:fldChar w:fldCharType="begin"/></w:r>'

    assert read(f"<w:p>{begin * 20_000}</w:p>{paragraph('x') * 2}") == "x\n\nx"


def test_field_without_end_does_not_hide_later_paragraphs(read):
    body = f'<w:p><w:r><w:fldChar w:fldCharType="begin"/></w:r></w:p>{paragraph("after")}'

    assert read(body) == "after"


@pytest.mark.parametrize("separator", ["tab", 'ptab w:alignment="right"'])
def test_tabs_separate_text(read, separator):
    body = f"<w:p>{run('Left')}<w:r><w:{separator}/></w:r>{run('Right')}</w:p>"

    assert read(body) == "Left\tRight"


def test_phonetic_guides_follow_their_word(read):
    def ruby(base, reading):
        return (
            f"<w:r><w:ruby><w:rubyPr/><w:rt>{run(reading)}</w:rt>"
            f"<w:rubyBase>{run(base)}</w:rubyBase></w:ruby></w:r>"
        )

    body = f"<w:p>{run('今日は')}{ruby('漢', 'かん')}{ruby('字', 'じ')}{run('、終。')}</w:p>"

    assert read(body) == "今日は漢字(かんじ)、終。"


def test_equations_are_read_in_their_sentence(read):
    equation = (
        f'<m:oMath xmlns:m="{M}"><m:f><m:num><m:r><m:t>3</m:t></m:r></m:num>'
        "<m:den><m:r><m:t>4</m:t></m:r></m:den></m:f></m:oMath>"
    )

    assert read(f"<w:p>{run('Take ')}{equation}{run(' of it.')}</w:p>") == "Take 3/4 of it."


def test_equations_between_paragraphs_are_read(read):
    equation = f'<m:oMath xmlns:m="{M}"><m:r><m:t>a=b</m:t></m:r></m:oMath>'
    block = f'<m:oMathPara xmlns:m="{M}">{equation}</m:oMathPara>'

    assert read(f"{paragraph('Let')}{block}{paragraph('be.')}") == "Let\n\na=b\n\nbe."
    assert read(f"<w:tbl><w:tr><w:tc>{block}</w:tc></w:tr></w:tbl>") == "a=b"


@pytest.mark.parametrize("wrapper", ["pict", "object"])
def test_word_art_is_read(read, wrapper):
    shape = f'<v:shape xmlns:v="{VML}"><v:textpath on="t" string="ÉCHANTILLON 5"/></v:shape>'
    body = f"<w:p><w:r><w:{wrapper}>{shape}</w:{wrapper}></w:r></w:p>{paragraph('Text')}"

    assert read(body) == "ÉCHANTILLON 5\n\nText"


def test_word_art_in_header_is_read(read):
    shape = f'<w:pict><v:shape xmlns:v="{VML}"><v:textpath string="DRAFT"/></v:shape></w:pict>'
    header = story("hdr", f"<w:p><w:r>{shape}</w:r></w:p>")

    text = read(paragraph("x"), {"word/h.xml": header}, [("r2", "header", "h.xml")])

    assert text == "DRAFT\n\nx"


def test_chart_follows_its_paragraph(read):
    drawing = (
        f'<w:drawing><a:graphic xmlns:a="{A}"><a:graphicData><c:chart xmlns:c="{C}" '
        f'xmlns:r="{RELATIONS}" r:id="r9"/></a:graphicData></a:graphic></w:drawing>'
    )
    content = chart(
        f"<c:pieChart>{series('2024', ['Äpfel'], ['12.5'])}</c:pieChart>", title("Obst")
    )
    body = f"<w:p>{run('See the chart.')}<w:r>{drawing}</w:r></w:p>{paragraph('Next')}"

    text = read(body, {"word/charts/c.xml": content}, [("r9", "chart", "charts/c.xml")])

    assert text == "See the chart.\n\nObst\n\n\t2024\nÄpfel\t12.5\n\nNext"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (run("Contract 7, page ") + field("PAGE", "3"), "Contract 7"),
        (run("Vertrag\t") + '<w:fldSimple w:instr=" PAGE "><w:r><w:t>3</w:t></w:r></w:fldSimple>',
         "Vertrag"),
        (run("Seite ") + field("PAGE", "1") + run(" von ") + field("NUMPAGES", "9"), ""),
        (run("A – ") + field(instruction("= ") + field("PAGE", "4") + instruction("-1"), "3"), "A"),
        (run("Acme – ") + "<w:r><w:pgNum/></w:r>", "Acme"),
        (run("B – ") + field(r"PAGE\* MERGEFORMAT", "4"), "B"),
        (run("Saved ") + field("SAVEDATE", "4 May 2024"), "Saved 4 May 2024"),
        (run("See ") + field("PAGEREF _x", "12"), "See 12"),
    ],
)  # fmt: skip
def test_footer_is_read_without_page_number(read, content, expected):
    footer = story("ftr", f"<w:p>{content}</w:p>")

    text = read(paragraph("x"), {"word/f.xml": footer}, [("r2", "footer", "f.xml")])

    assert text == f"x\n\n{expected}".strip()
