"""Parser of DOCX files (WordprocessingML): paragraphs, lists, tables and notes in order."""

from collections.abc import Iterator
from pathlib import Path

from backend.services.rag.extraction.content import Content, Page, TextBuilder
from backend.services.rag.extraction.office.docx.inline import SKIPPED, InlineReader
from backend.services.rag.extraction.office.docx.inserted_parts import read_inserted_part
from backend.services.rag.extraction.office.docx.numbering import Numbering
from backend.services.rag.extraction.office.docx.page_numbers import (
    PAGE_NUMBER,
    remove_page_numbers,
)
from backend.services.rag.extraction.office.docx.references import DocumentReferences
from backend.services.rag.extraction.office.docx.styles import Styles, W, find_descendant
from backend.services.rag.extraction.office.docx.tables import (
    has_deleted_mark,
    is_deleted_row,
    iterate_own,
    place_cells,
)
from backend.services.rag.extraction.office.drawing.equations import (
    EQUATION_TAGS,
    linearize_equation,
)
from backend.services.rag.extraction.office.drawing.objects import add_object
from backend.services.rag.extraction.office.ooxml import (
    RELATIONSHIPS,
    Element,
    Package,
    open_package,
)
from backend.services.rag.extraction.office.run_text import RunText

# Inserted files may contain inserted files.
_MAX_INSERTION_DEPTH = 3


def parse_docx(file: Path) -> Content:
    """Return the text. The title is the first paragraph with the style Title."""
    with open_package(file, "DOCX") as package:
        return _DocxReader(package).read_content()


class _DocxReader:
    def __init__(self, package: Package, depth: int = 0) -> None:
        self._package = package
        self._depth = depth
        self._main = package.find_main_part()
        self._styles = Styles(self._read_related("styles"))
        self._numbering = Numbering(self._read_related("numbering"))
        self._document = package.read_part(self._main)
        self._references = DocumentReferences(package, self._main, self._document, self._styles)
        self._inline = InlineReader(self._styles, self._references)
        # Text of paragraphs whose paragraph marks were deleted. It is joined with the next
        # paragraph.
        self._joined: RunText | None = None
        self._title = ""
        self._text = TextBuilder()

    def read_content(self) -> Content:
        body = self._document.find(f"{W}body")
        for line in self._read_margins("header"):
            self._text.add_paragraph(line)
        if body is not None:
            self._add_blocks(body)
            self._end_joined_paragraph()
        for comment in self._references.remaining_comments():
            self._text.add_paragraph(comment)
        for line in self._read_margins("footer"):
            self._text.add_paragraph(line)
        return Content([self._text.to_page()], self._title)

    def _add_blocks(self, container: Element) -> None:
        for block in container:
            if block.tag == f"{W}p":
                self._add_paragraph(block)
            elif block.tag == f"{W}tbl":
                self._end_joined_paragraph()
                self._text.add_table(self._iterate_rows(block))
                self._add_references()
            elif block.tag == f"{W}altChunk":
                self._end_joined_paragraph()
                self._text.add_structured_text(self._read_inserted_part(block))
                self._text.break_line(blank=True)
            elif block.tag in EQUATION_TAGS:
                self._text.add_paragraph(linearize_equation(block))
            elif block.tag not in SKIPPED:
                self._add_blocks(block)  # a content control or a tracked insertion

    def _add_paragraph(self, block: Element) -> None:
        runs = self._joined or RunText()
        self._inline.read_paragraph(block, runs)
        if has_deleted_mark(block):
            self._joined = runs
            return
        self._joined = None
        self._end_paragraph(block, runs.to_text().strip())
        if find_descendant(block, f"{W}pPr", f"{W}sectPr") is not None:
            self._references.start_section()

    def _end_paragraph(self, block: Element, line: str) -> None:
        if line:
            plain = " ".join(line.split())
            if self._styles.is_title(block):
                self._title = self._title or plain
            list_level = self._styles.get_list_level(block)
            line = (self._numbering.next_marker(list_level) if list_level else "") + line
            is_heading = self._styles.is_heading(block)
            if is_heading:
                self._text.break_line(blank=True)
                self._text.add_heading(plain)
            self._text.add_text(line)
            self._text.break_line(blank=list_level is None or is_heading)
        self._add_references()

    def _end_joined_paragraph(self) -> None:
        if self._joined is not None:
            self._text.add_paragraph(self._joined.to_text().strip())
            self._joined = None
            self._add_references()

    def _add_references(self) -> None:
        """Append the notes, comments, charts and text boxes of the paragraph or table above."""
        if not self._references.has_pending:
            return
        notes, objects, boxes = self._references.take_pending()
        for note in notes:
            self._text.add_paragraph(note)
        for node in objects:
            add_object(self._package, self._main, node, self._text)
        for box in boxes:
            self._add_blocks(box)
            self._end_joined_paragraph()

    def _iterate_rows(self, table: Element) -> Iterator[list[str]]:
        for row in iterate_own(table, f"{W}tr"):
            if not is_deleted_row(row):
                yield place_cells(row, lambda cell: "".join(self._cell_texts(cell)))

    def _cell_texts(self, cell: Element) -> Iterator[str]:
        runs = RunText()
        for block in cell:
            if block.tag == f"{W}tbl":
                for row in self._iterate_rows(block):
                    yield " ".join(row) + "\n"
            elif block.tag == f"{W}p":
                self._inline.read_paragraph(block, runs)
                if has_deleted_mark(block):
                    continue
                list_level = self._styles.get_list_level(block)
                yield self._numbering.next_marker(list_level) if list_level else ""
                yield runs.to_text() + "\n"
                runs = RunText()
            elif block.tag == f"{W}altChunk":
                yield self._read_inserted_part(block).text + "\n"
            elif block.tag in EQUATION_TAGS:
                yield linearize_equation(block) + "\n"
            elif block.tag not in SKIPPED:
                yield from self._cell_texts(block)
        yield runs.to_text()

    def _read_inserted_part(self, block: Element) -> Page:
        if self._depth >= _MAX_INSERTION_DEPTH:
            return Page("")
        target = self._package.find_related_part(self._main, block.get(f"{RELATIONSHIPS}id", ""))
        return read_inserted_part(self._package, target, self._parse_embedded)

    def _parse_embedded(self, package: Package) -> Page:
        reader = _DocxReader(package, self._depth + 1)
        reader.read_content()
        return reader._text.to_page()

    def _read_margins(self, kind: str) -> list[str]:
        """Return the distinct lines of the headers or footers, without page numbers."""
        lines: dict[str, None] = {}
        reader = InlineReader(self._styles, page_number_mark=PAGE_NUMBER)
        for part in self._package.related_parts(self._main, kind).values():
            root = self._package.read_optional_part(part)
            for paragraph in root.iter(f"{W}p") if root is not None else ():
                runs = RunText()
                reader.read_paragraph(paragraph, runs)
                line = " ".join(remove_page_numbers(runs.to_text()).split())
                if line:
                    lines[line] = None
        return list(lines)

    def _read_related(self, kind: str) -> Element | None:
        for part in self._package.related_parts(self._main, kind).values():
            return self._package.read_optional_part(part)
        return None
