"""DOCX: paragraphs, lists, tables and notes, in order."""

from collections.abc import Iterator
from pathlib import Path

from backend.services.rag.clients.formats.docx_styles import Numbering, Styles, W
from backend.services.rag.clients.formats.ooxml import Element, Package, opened
from backend.services.rag.clients.formats.page import Content, TextBuilder

_TEXT = {
    f"{W}tab": "\t", f"{W}br": "\n", f"{W}cr": "\n", f"{W}noBreakHyphen": "-",
    f"{W}softHyphen": "\xad",
}  # fmt: skip
_MATH_TEXT = "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"
_NOTES = {f"{W}footnoteReference": "footnotes", f"{W}endnoteReference": "endnotes"}
# Deleted or moved away, what computes a field, and a text box's second copy for old programs.
_UNSEEN = {
    f"{W}del", f"{W}moveFrom", f"{W}instrText", f"{W}pPr", f"{W}rPr", f"{W}tblPr", f"{W}sectPr",
    "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback",
}  # fmt: skip
_BOX = f"{W}txbxContent"


def read(file: Path) -> Content:
    """The document's title, where a paragraph is styled as one, and its text."""
    with opened(file, "DOCX") as package:
        return _Reader(package).content()


class _Reader:
    def __init__(self, package: Package) -> None:
        self._package = package
        self._main = package.main_part()
        self._styles = Styles(self._related("styles"))
        self._numbering = Numbering(self._related("numbering"))
        self._notes = {kind: self._noted(kind) for kind in ("footnotes", "endnotes")}
        self._cited: list[str] = []
        self._boxes: list[Element] = []
        self._title = ""
        self._text = TextBuilder()

    def content(self) -> Content:
        body = self._package.part(self._main).find(f"{W}body")
        for line in self._margins("header"):
            self._text.paragraph(line)
        if body is not None:
            self._write(body)
        for line in self._margins("footer"):
            self._text.paragraph(line)
        return Content([self._text.page()], self._title)

    def _write(self, container: Element) -> None:
        for block in container:
            if block.tag == f"{W}p":
                self._paragraph(block)
            elif block.tag == f"{W}tbl":
                self._text.table(self._rows(block))
                self._append_notes()
            elif block.tag not in _UNSEEN:
                self._write(block)  # a content control, or a change that was taken in

    def _paragraph(self, block: Element) -> None:
        line = "".join(self._texts(block)).strip()
        if line:
            plain = " ".join(line.split())
            if self._styles.is_title(block):
                self._title = self._title or plain
            number = self._styles.list_level(block)
            line = (self._numbering.mark(number) if number else "") + line
            if self._styles.is_heading(block):
                self._text.break_line(blank=True)
                self._text.heading(plain)
            self._text.add(line)
            self._text.break_line(blank=number is None or self._styles.is_heading(block))
        self._append_notes()
        while self._boxes:
            self._write(self._boxes.pop(0))

    def _append_notes(self) -> None:
        for note in self._cited:
            self._text.paragraph(note)
        self._cited.clear()

    def _rows(self, table: Element) -> Iterator[list[str]]:
        for row in _inside(table, f"{W}tr"):
            yield ["".join(self._cell(cell)) for cell in _inside(row, f"{W}tc")]

    def _cell(self, cell: Element) -> Iterator[str]:
        for block in cell:
            if block.tag == f"{W}tbl":
                for row in self._rows(block):
                    yield " ".join(row) + "\n"
            elif block.tag == f"{W}p":
                number = self._styles.list_level(block)
                yield self._numbering.mark(number) if number else ""
                yield from self._texts(block)
                yield "\n"
            elif block.tag not in _UNSEEN:
                yield from self._cell(block)

    def _texts(self, node: Element) -> Iterator[str]:
        for inner in node:
            if inner.tag in (f"{W}t", _MATH_TEXT):
                yield inner.text or ""
            elif inner.tag in _TEXT:
                yield _TEXT[inner.tag]
            elif inner.tag in _NOTES:
                yield self._cite(_NOTES[inner.tag], inner.get(f"{W}id", ""))
            elif inner.tag == _BOX:
                self._boxes.append(inner)
            elif inner.tag == f"{W}r" and _is_hidden(inner):
                continue
            elif inner.tag not in _UNSEEN:
                yield from self._texts(inner)

    def _cite(self, kind: str, number: str) -> str:
        note = self._notes[kind].pop(number, "")
        if not note:
            return ""
        mark = f"[{number}]" if kind == "footnotes" else f"[note {number}]"
        self._cited.append(f"{mark} {note}")
        return mark

    def _noted(self, kind: str) -> dict[str, str]:
        root = self._related(kind)
        return {
            note.get(f"{W}id", ""): " ".join("".join(self._texts(note)).split())
            for note in (root if root is not None else ())
        }

    def _margins(self, kind: str) -> list[str]:
        """What stands above or below every page, once; page numbers are nobody's words."""
        lines: dict[str, None] = {}
        for part in self._package.related(self._main, kind).values():
            root = self._package.optional(part)
            for paragraph in root.iter(f"{W}p") if root is not None else ():
                line = " ".join("".join(self._texts(paragraph)).split())
                if line and not _counts_pages(paragraph):
                    lines[line] = None
        self._boxes.clear()
        return list(lines)

    def _related(self, kind: str) -> Element | None:
        for part in self._package.related(self._main, kind).values():
            return self._package.optional(part)
        return None


def _inside(owner: Element, tag: str) -> Iterator[Element]:
    """The rows of a table or cells of a row, without those of a table within it."""
    for inner in owner:
        if inner.tag == tag:
            yield inner
        elif inner.tag not in (f"{W}tbl", f"{W}tc", *_UNSEEN):
            yield from _inside(inner, tag)


def _is_hidden(run: Element) -> bool:
    vanish = run.find(f"{W}rPr/{W}vanish")
    return vanish is not None and vanish.get(f"{W}val", "1") not in ("0", "false")


def _counts_pages(paragraph: Element) -> bool:
    fields = [node.text or "" for node in paragraph.iter(f"{W}instrText")]
    fields += [node.get(f"{W}instr", "") for node in paragraph.iter(f"{W}fldSimple")]
    return any("PAGE" in field for field in fields)
