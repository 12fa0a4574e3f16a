"""PPTX: a page for each slide, with its speaker's notes."""

from collections.abc import Iterator
from pathlib import Path

from backend.services.rag.clients.formats.ooxml import RELATIONS, Element, Package, opened
from backend.services.rag.clients.formats.page import Content, Page, TextBuilder

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_DIAGRAM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}relIds"
_TITLES = ("title", "ctrTitle")
# Repeated on every slide, or the picture of the slide on its page of notes.
_FURNITURE = ("sldNum", "dt", "ftr", "hdr", "sldImg")


def read(file: Path) -> Content:
    """The first slide's title, and the slides in the order they are shown."""
    with opened(file, "PPTX") as package:
        main = package.main_part()
        slides = package.related(main, "slide")
        shown = package.part(main).iter(f"{_P}sldId")
        order = [slides.get(slide.get(f"{RELATIONS}id", ""), "") for slide in shown]
        pages = [_slide(package, name) for name in order if name]
        title = next((page.headings[0][1] for page in pages[:1] if page.headings), "")
        return Content(pages, title, len(pages))


def _slide(package: Package, name: str) -> Page:
    text = TextBuilder()
    root = package.part(name)
    shapes = list(_shapes(root.find(f"{_P}cSld/{_P}spTree")))
    # The title is what is read first, wherever in the file it stands.
    for shape in sorted(shapes, key=lambda shape: _role(shape) not in _TITLES):
        _write(package, name, shape, text)
    for notes in package.related(name, "notesSlide").values():
        page = package.optional(notes)
        tree = page.find(f"{_P}cSld/{_P}spTree") if page is not None else None
        said = [line for shape in _shapes(tree) for line in _paragraphs(shape)]
        if said:
            text.paragraph("Notes: " + "\n".join(said))
    return text.page()


def _shapes(tree: Element | None) -> Iterator[Element]:
    for shape in tree if tree is not None else ():
        if shape.tag == f"{_P}grpSp" or shape.tag.endswith(("}AlternateContent", "}Choice")):
            yield from _shapes(shape)
        elif shape.tag != _FALLBACK and _role(shape) not in _FURNITURE:
            yield shape


def _role(shape: Element) -> str:
    place = shape.find(f"{_P}nvSpPr/{_P}nvPr/{_P}ph")
    return place.get("type", "body") if place is not None else ""


def _write(package: Package, slide: str, shape: Element, text: TextBuilder) -> None:
    lines = _paragraphs(shape) if shape.tag == f"{_P}sp" else []
    if lines and _role(shape) in _TITLES:
        text.heading(" ".join(" ".join(lines).split()))
    text.paragraph("\n".join(lines))
    for table in shape.iter(f"{_A}tbl"):
        text.table(
            ["\n".join(_paragraphs(cell)) for cell in row.iter(f"{_A}tc")]
            for row in table.iter(f"{_A}tr")
        )
    for diagram in shape.iter(_DIAGRAM):
        data = package.related(slide, "diagramData").get(diagram.get(f"{RELATIONS}dm", ""), "")
        root = package.optional(data)
        text.paragraph("\n".join(_paragraphs(root)) if root is not None else "")


def _paragraphs(shape: Element) -> list[str]:
    lines = ("".join(_runs(paragraph)).strip() for paragraph in shape.iter(f"{_A}p"))
    return [line for line in lines if line]


def _runs(paragraph: Element) -> Iterator[str]:
    for node in paragraph.iter():
        if node.tag == f"{_A}t":
            yield node.text or ""
        elif node.tag == f"{_A}br":
            yield "\n"
