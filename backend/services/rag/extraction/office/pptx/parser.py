"""Parser of PPTX files (PresentationML): one page per slide, with its speaker notes."""

from collections.abc import Iterator
from pathlib import Path

from backend.services.rag.extraction.content import Content, Page, TextBuilder
from backend.services.rag.extraction.office.drawing.objects import OBJECT_TAGS, add_object
from backend.services.rag.extraction.office.drawing.text import A, read_paragraphs
from backend.services.rag.extraction.office.ooxml import (
    FALLBACK,
    RELATIONSHIPS,
    Element,
    Package,
    open_package,
)
from backend.services.rag.extraction.office.pptx.comments import Comments

_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_TITLES = ("title", "ctrTitle")
# Placeholders that are skipped: slide number, date, footer, header, and the slide image on notes.
_SKIPPED_ROLES = ("sldNum", "dt", "ftr", "hdr", "sldImg")


def parse_pptx(file: Path) -> Content:
    """Return the slides in presentation order. The title is that of the first slide."""
    with open_package(file, "PPTX") as package:
        main = package.find_main_part()
        slides = package.related_parts(main, "slide")
        slide_ids = package.read_part(main).iter(f"{_P}sldId")
        ordered = [slides.get(slide.get(f"{RELATIONSHIPS}id", ""), "") for slide in slide_ids]
        comments = Comments(package, main)
        pages = [_parse_slide(package, name, comments) for name in ordered if name]
        title = next((page.headings[0][1] for page in pages[:1] if page.headings), "")
        return Content(pages, title, len(pages))


def _parse_slide(package: Package, name: str, comments: Comments) -> Page:
    text = TextBuilder()
    root = package.read_part(name)
    shapes = list(_iterate_shapes(root.find(f"{_P}cSld/{_P}spTree")))
    # The title comes first, wherever it is in the file.
    for shape in sorted(shapes, key=lambda shape: _role(shape) not in _TITLES):
        _add_shape(package, name, shape, text)
    for notes in package.related_parts(name, "notesSlide").values():
        page = package.read_optional_part(notes)
        tree = page.find(f"{_P}cSld/{_P}spTree") if page is not None else None
        lines = [line for shape in _iterate_shapes(tree) for line in read_paragraphs(shape)]
        if lines:
            text.add_paragraph("Notes: " + "\n".join(lines))
    for comment in comments.read_comments(name):
        text.add_paragraph(comment)
    return text.to_page()


def _iterate_shapes(tree: Element | None) -> Iterator[Element]:
    for shape in tree if tree is not None else ():
        if shape.tag == f"{_P}grpSp" or shape.tag.endswith(("}AlternateContent", "}Choice")):
            yield from _iterate_shapes(shape)
        elif shape.tag != FALLBACK and _role(shape) not in _SKIPPED_ROLES:
            yield shape


def _role(shape: Element) -> str:
    """Return the placeholder type of *shape*; empty if it is not a placeholder."""
    placeholder = shape.find(f"{_P}nvSpPr/{_P}nvPr/{_P}ph")
    return placeholder.get("type", "body") if placeholder is not None else ""


def _add_shape(package: Package, slide: str, shape: Element, text: TextBuilder) -> None:
    lines = read_paragraphs(shape) if shape.tag == f"{_P}sp" else []
    if lines and _role(shape) in _TITLES:
        text.add_heading(" ".join(" ".join(lines).split()))
    text.add_paragraph("\n".join(lines))
    for table in shape.iter(f"{A}tbl"):
        text.add_table(map(_read_row, table.iter(f"{A}tr")))
    for node in shape.iter():
        if node.tag in OBJECT_TAGS:
            add_object(package, slide, node, text)


def _read_row(row: Element) -> list[str]:
    """Return the texts by column. Merged cells have their text in the first place (21.1.3.16)."""
    return [
        "" if _is_merged(cell) else "\n".join(read_paragraphs(cell)) for cell in row.iter(f"{A}tc")
    ]


def _is_merged(cell: Element) -> bool:
    return any(cell.get(name, "0") in ("1", "true") for name in ("hMerge", "vMerge"))
