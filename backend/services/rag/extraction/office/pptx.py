"""Parser of PPTX files (PresentationML): one page per slide, with its speaker notes."""

from collections.abc import Iterator
from pathlib import Path

from backend.services.rag.extraction.content import Content, Page, TextBuilder
from backend.services.rag.extraction.office.ooxml import (
    RELATIONSHIPS,
    Element,
    Package,
    open_package,
)

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_DIAGRAM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}relIds"
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
        pages = [_parse_slide(package, name) for name in ordered if name]
        title = next((page.headings[0][1] for page in pages[:1] if page.headings), "")
        return Content(pages, title, len(pages))


def _parse_slide(package: Package, name: str) -> Page:
    text = TextBuilder()
    root = package.read_part(name)
    shapes = list(_iterate_shapes(root.find(f"{_P}cSld/{_P}spTree")))
    # The title comes first, wherever it is in the file.
    for shape in sorted(shapes, key=lambda shape: _role(shape) not in _TITLES):
        _add_shape(package, name, shape, text)
    for notes in package.related_parts(name, "notesSlide").values():
        page = package.read_optional_part(notes)
        tree = page.find(f"{_P}cSld/{_P}spTree") if page is not None else None
        lines = [line for shape in _iterate_shapes(tree) for line in _paragraphs(shape)]
        if lines:
            text.add_paragraph("Notes: " + "\n".join(lines))
    return text.to_page()


def _iterate_shapes(tree: Element | None) -> Iterator[Element]:
    for shape in tree if tree is not None else ():
        if shape.tag == f"{_P}grpSp" or shape.tag.endswith(("}AlternateContent", "}Choice")):
            yield from _iterate_shapes(shape)
        elif shape.tag != _FALLBACK and _role(shape) not in _SKIPPED_ROLES:
            yield shape


def _role(shape: Element) -> str:
    """Return the placeholder type of *shape*; empty if it is not a placeholder."""
    placeholder = shape.find(f"{_P}nvSpPr/{_P}nvPr/{_P}ph")
    return placeholder.get("type", "body") if placeholder is not None else ""


def _add_shape(package: Package, slide: str, shape: Element, text: TextBuilder) -> None:
    lines = _paragraphs(shape) if shape.tag == f"{_P}sp" else []
    if lines and _role(shape) in _TITLES:
        text.add_heading(" ".join(" ".join(lines).split()))
    text.add_paragraph("\n".join(lines))
    for table in shape.iter(f"{_A}tbl"):
        text.add_table(
            ["\n".join(_paragraphs(cell)) for cell in row.iter(f"{_A}tc")]
            for row in table.iter(f"{_A}tr")
        )
    for diagram in shape.iter(_DIAGRAM):
        data = package.related_parts(slide, "diagramData").get(
            diagram.get(f"{RELATIONSHIPS}dm", ""), ""
        )
        root = package.read_optional_part(data)
        text.add_paragraph("\n".join(_paragraphs(root)) if root is not None else "")


def _paragraphs(shape: Element) -> list[str]:
    lines = ("".join(_runs(paragraph)).strip() for paragraph in shape.iter(f"{_A}p"))
    return [line for line in lines if line]


def _runs(paragraph: Element) -> Iterator[str]:
    for node in paragraph.iter():
        if node.tag == f"{_A}t":
            yield node.text or ""
        elif node.tag == f"{_A}br":
            yield "\n"
