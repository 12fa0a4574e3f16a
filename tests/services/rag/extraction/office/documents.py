"""Builders of the XML of small Office files."""

from tests.documents import RELATIONS, W, package

M = "http://schemas.openxmlformats.org/officeDocument/2006/math"
A = "http://schemas.openxmlformats.org/drawingml/2006/main"
C = "http://schemas.openxmlformats.org/drawingml/2006/chart"
S = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
XDR = "http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing"


def run(text, properties=""):
    settings = f"<w:rPr>{properties}</w:rPr>" if properties else ""
    return f'<w:r>{settings}<w:t xml:space="preserve">{text}</w:t></w:r>'


def field(instruction, result="", form=""):
    """Return the runs of a complex field. *instruction* is text, or runs with nested fields."""
    if not instruction.startswith("<"):
        instruction = f"<w:r><w:instrText> {instruction} </w:instrText></w:r>"
    character = '<w:r><w:fldChar w:fldCharType="{}">{}</w:fldChar></w:r>'
    return (
        character.format("begin", form)
        + instruction
        + character.format("separate", "")
        + (run(result) if result else "")
        + character.format("end", "")
    )


def instruction(text):
    """Return a part of the instruction of a field."""
    return f'<w:r><w:instrText xml:space="preserve">{text}</w:instrText></w:r>'


def story(tag, content):
    """Return a part such as a header, with the root element *tag*."""
    return f'<w:{tag} xmlns:w="{W}" xmlns:r="{RELATIONS}">{content}</w:{tag}>'


def cache(texts, numeric=False, code=""):
    """Return the reference to cells of a chart with its stored values."""
    kind = "num" if numeric else "str"
    points = "".join(
        f'<c:pt idx="{index}"><c:v>{text}</c:v></c:pt>' for index, text in enumerate(texts)
    )
    format_code = f"<c:formatCode>{code}</c:formatCode>" if code else ""
    return (
        f"<c:{kind}Ref><c:f>Data!$B$2</c:f><c:{kind}Cache>{format_code}{points}</c:{kind}Cache>"
        f"</c:{kind}Ref>"
    )


def series(name, categories, values, code=""):
    return (
        f"<c:ser><c:tx>{cache([name])}</c:tx><c:cat>{cache(categories)}</c:cat>"
        f"<c:val>{cache(values, numeric=True, code=code)}</c:val></c:ser>"
    )


def title(text):
    return (
        f"<c:title><c:tx><c:rich><a:p><a:r><a:t>{text}</a:t></a:r></a:p></c:rich></c:tx></c:title>"
    )


def chart(content, heading=""):
    """Return a chart part; *content* is in the plot area."""
    return (
        f'<c:chartSpace xmlns:c="{C}" xmlns:a="{A}"><c:chart>{heading}'
        f"<c:plotArea>{content}</c:plotArea></c:chart></c:chartSpace>"
    )


def xlsx(rows, parts=None, relations=(), styles="", more_relations=()):
    """Return an XLSX file with the sheet `Data`; *rows* is the content of sheetData.

    *parts* are by name below `xl`, *relations* (id, kind, target) are those of the sheet, and
    *more_relations* (part, id, kind, target) those of other parts.
    """
    book = (
        f'<workbook xmlns="{S}" xmlns:r="{RELATIONS}">'
        '<sheets><sheet name="Data" r:id="r1"/></sheets></workbook>'
    )
    links = [("xl/workbook.xml", "r1", "worksheet", "sheet.xml")]
    content = {
        "xl/workbook.xml": book,
        "xl/sheet.xml": f'<worksheet xmlns="{S}"><sheetData>{rows}</sheetData></worksheet>',
    }
    if styles:
        links.append(("xl/workbook.xml", "r2", "styles", "styles.xml"))
        content["xl/styles.xml"] = f'<styleSheet xmlns="{S}">{styles}</styleSheet>'
    content |= {f"xl/{name}": part for name, part in (parts or {}).items()}
    links += [*more_relations, *(("xl/sheet.xml", *relation) for relation in relations)]
    return package("xl/workbook.xml", content, links)


def text_cell(text):
    return f'<c t="inlineStr"><is>{text if text.startswith("<") else f"<t>{text}</t>"}</is></c>'
