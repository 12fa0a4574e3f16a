"""Parser of DOCX files (WordprocessingML): paragraphs, lists, tables and notes in order."""

from collections.abc import Iterator
from pathlib import Path

from backend.services.rag.extraction.content import Content, TextBuilder
from backend.services.rag.extraction.office.docx_styles import Numbering, Styles, W
from backend.services.rag.extraction.office.ooxml import Element, Package, open_package

_TEXT_BY_TAG = {
    f"{W}tab": "\t", f"{W}br": "\n", f"{W}cr": "\n", f"{W}noBreakHyphen": "-",
    f"{W}softHyphen": "\xad",
}  # fmt: skip
_MATH_TEXT = "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"
_NOTES = {f"{W}footnoteReference": "footnotes", f"{W}endnoteReference": "endnotes"}
# Deleted and moved text, field instructions, properties, and copies of text boxes for old programs.
_SKIPPED = {
    f"{W}del", f"{W}moveFrom", f"{W}instrText", f"{W}pPr", f"{W}rPr", f"{W}tblPr", f"{W}sectPr",
    "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback",
}  # fmt: skip
_TEXT_BOX = f"{W}txbxContent"


def parse_docx(file: Path) -> Content:
    """Return the text. The title is the first paragraph with the style Title."""
    with open_package(file, "DOCX") as package:
        return _DocxReader(package).read_content()


class _DocxReader:
    def __init__(self, package: Package) -> None:
        self._package = package
        self._main = package.find_main_part()
        self._styles = Styles(self._read_related("styles"))
        self._numbering = Numbering(self._read_related("numbering"))
        self._notes = {kind: self._read_notes(kind) for kind in ("footnotes", "endnotes")}
        # Notes and text boxes of the current paragraph. They are added after it.
        self._pending_notes: list[str] = []
        self._pending_boxes: list[Element] = []
        self._title = ""
        self._text = TextBuilder()

    def read_content(self) -> Content:
        body = self._package.read_part(self._main).find(f"{W}body")
        for line in self._read_margins("header"):
            self._text.add_paragraph(line)
        if body is not None:
            self._add_blocks(body)
        for line in self._read_margins("footer"):
            self._text.add_paragraph(line)
        return Content([self._text.to_page()], self._title)

    def _add_blocks(self, container: Element) -> None:
        for block in container:
            if block.tag == f"{W}p":
                self._add_paragraph(block)
            elif block.tag == f"{W}tbl":
                self._text.add_table(self._iterate_rows(block))
                self._add_pending_notes()
            elif block.tag not in _SKIPPED:
                self._add_blocks(block)  # a content control or a tracked insertion

    def _add_paragraph(self, block: Element) -> None:
        line = "".join(self._iterate_texts(block)).strip()
        if line:
            plain = " ".join(line.split())
            if self._styles.is_title(block):
                self._title = self._title or plain
            list_level = self._styles.get_list_level(block)
            line = (self._numbering.next_marker(list_level) if list_level else "") + line
            if self._styles.is_heading(block):
                self._text.break_line(blank=True)
                self._text.add_heading(plain)
            self._text.add_text(line)
            self._text.break_line(blank=list_level is None or self._styles.is_heading(block))
        self._add_pending_notes()
        while self._pending_boxes:
            self._add_blocks(self._pending_boxes.pop(0))

    def _add_pending_notes(self) -> None:
        for note in self._pending_notes:
            self._text.add_paragraph(note)
        self._pending_notes.clear()

    def _iterate_rows(self, table: Element) -> Iterator[list[str]]:
        for row in _iterate_own(table, f"{W}tr"):
            yield ["".join(self._cell_texts(cell)) for cell in _iterate_own(row, f"{W}tc")]

    def _cell_texts(self, cell: Element) -> Iterator[str]:
        for block in cell:
            if block.tag == f"{W}tbl":
                for row in self._iterate_rows(block):
                    yield " ".join(row) + "\n"
            elif block.tag == f"{W}p":
                list_level = self._styles.get_list_level(block)
                yield self._numbering.next_marker(list_level) if list_level else ""
                yield from self._iterate_texts(block)
                yield "\n"
            elif block.tag not in _SKIPPED:
                yield from self._cell_texts(block)

    def _iterate_texts(self, node: Element) -> Iterator[str]:
        for child in node:
            if child.tag in (f"{W}t", _MATH_TEXT):
                yield child.text or ""
            elif child.tag in _TEXT_BY_TAG:
                yield _TEXT_BY_TAG[child.tag]
            elif child.tag in _NOTES:
                yield self._add_note_reference(_NOTES[child.tag], child.get(f"{W}id", ""))
            elif child.tag == _TEXT_BOX:
                self._pending_boxes.append(child)
            elif child.tag == f"{W}r" and _is_hidden(child):
                continue
            elif child.tag not in _SKIPPED:
                yield from self._iterate_texts(child)

    def _add_note_reference(self, kind: str, number: str) -> str:
        """Return the marker of a note, and add its text after the paragraph, once per note."""
        note = self._notes[kind].pop(number, "")
        if not note:
            return ""
        marker = f"[{number}]" if kind == "footnotes" else f"[note {number}]"
        self._pending_notes.append(f"{marker} {note}")
        return marker

    def _read_notes(self, kind: str) -> dict[str, str]:
        """Return the texts of the footnotes or endnotes by their ids."""
        root = self._read_related(kind)
        return {
            note.get(f"{W}id", ""): " ".join("".join(self._iterate_texts(note)).split())
            for note in (root if root is not None else ())
        }

    def _read_margins(self, kind: str) -> list[str]:
        """Return the distinct lines of the headers or footers, without page numbers."""
        lines: dict[str, None] = {}
        for part in self._package.related_parts(self._main, kind).values():
            root = self._package.read_optional_part(part)
            for paragraph in root.iter(f"{W}p") if root is not None else ():
                line = " ".join("".join(self._iterate_texts(paragraph)).split())
                if line and not _has_page_number(paragraph):
                    lines[line] = None
        self._pending_boxes.clear()
        return list(lines)

    def _read_related(self, kind: str) -> Element | None:
        for part in self._package.related_parts(self._main, kind).values():
            return self._package.read_optional_part(part)
        return None


def _iterate_own(parent: Element, tag: str) -> Iterator[Element]:
    """Yield the rows of a table or cells of a row, without those of nested tables."""
    for child in parent:
        if child.tag == tag:
            yield child
        elif child.tag not in (f"{W}tbl", f"{W}tc", *_SKIPPED):
            yield from _iterate_own(child, tag)


def _is_hidden(run: Element) -> bool:
    vanish = run.find(f"{W}rPr/{W}vanish")
    return vanish is not None and vanish.get(f"{W}val", "1") not in ("0", "false")


def _has_page_number(paragraph: Element) -> bool:
    fields = [node.text or "" for node in paragraph.iter(f"{W}instrText")]
    fields += [node.get(f"{W}instr", "") for node in paragraph.iter(f"{W}fldSimple")]
    return any("PAGE" in field for field in fields)
