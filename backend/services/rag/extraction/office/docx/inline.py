"""Read the text of the paragraphs of a DOCX file: runs, fields, equations, notes and objects."""

from collections.abc import Callable
from typing import Protocol, cast

from backend.services.rag.extraction.office.docx.fields import Fields
from backend.services.rag.extraction.office.docx.styles import (
    Styles,
    W,
    get_raised_position,
    get_symbol_font,
    get_value,
)
from backend.services.rag.extraction.office.drawing.equations import (
    EQUATION_TAGS,
    linearize_equation,
)
from backend.services.rag.extraction.office.drawing.objects import OBJECT_TAGS
from backend.services.rag.extraction.office.ooxml import FALLBACK, Element
from backend.services.rag.extraction.office.run_text import Position, RunText
from backend.services.rag.extraction.office.symbol_fonts import (
    decode_character_code,
    decode_symbols,
)

_TEXT_BY_TAG = {
    f"{W}tab": "\t", f"{W}ptab": "\t", f"{W}cr": "\n",
    f"{W}noBreakHyphen": "-", f"{W}softHyphen": "\xad",
}  # fmt: skip
# Elements that are skipped: deleted and moved text, properties, and copies of drawings for old
# programs.
SKIPPED = {
    f"{W}del", f"{W}moveFrom", f"{W}delText", f"{W}delInstrText", f"{W}pPr", f"{W}rPr",
    f"{W}tblPr", f"{W}sectPr", f"{W}sdtPr", f"{W}rubyPr", FALLBACK,
}  # fmt: skip
_VML = "{urn:schemas-microsoft-com:vml}"


class References(Protocol):
    """Receives what a paragraph refers to, in the order of the text."""

    def add_note(self, kind: str, note_id: str, has_custom_mark: bool) -> str:
        """Process a reference to a footnote or endnote. Return its marker."""

    def add_comment(self, comment_id: str) -> None:
        """Process a reference to a comment."""

    def add_text_box(self, content: Element) -> None:
        """Process a text box."""

    def add_object(self, node: Element) -> None:
        """Process a chart or diagram."""

    def start_page(self) -> None:
        """Process a page break."""


class InlineReader:
    """Reads paragraphs in document order."""

    def __init__(
        self,
        styles: Styles,
        references: References | None = None,
        page_number_mark: str | None = None,
    ) -> None:
        """Read paragraphs.

        Args:
            references: None to ignore references, as in headers and notes.
            page_number_mark: replaces page numbers, if it is given.
        """
        self._styles = styles
        self._references = references
        self._fields = Fields(page_number_mark)
        self._page_number_mark = page_number_mark
        # The text so far, and the properties of the current run.
        self._runs = RunText()
        self._position: Position = "baseline"
        self._symbol_font = ""
        self._handlers: dict[str, Callable[[Element], None]] = {
            f"{W}t": self._read_text,
            f"{W}r": self._read_run,
            f"{W}fldChar": self._read_field_character,
            f"{W}fldSimple": self._read_simple_field,
            f"{W}instrText": self._read_instruction,
            f"{W}sym": self._read_symbol,
            f"{W}ruby": self._read_ruby,
            f"{W}footnoteReference": self._read_note_reference,
            f"{W}endnoteReference": self._read_note_reference,
            f"{W}pgNum": lambda _: self._add(self._page_number_mark or ""),
            **dict.fromkeys(EQUATION_TAGS, self._read_equation),
            f"{_VML}textpath": lambda node: self._add(node.get("string", "")),
            f"{W}br": self._read_break,
            **dict.fromkeys(_TEXT_BY_TAG, self._read_character),
        }
        # If *references* is None, text boxes are skipped: their paragraphs are then read
        # separately.
        self._handlers |= {
            f"{W}commentReference": self._read_reference,
            f"{W}lastRenderedPageBreak": self._read_reference,
            f"{W}txbxContent": self._read_reference,
            **dict.fromkeys(OBJECT_TAGS, self._read_reference),
        }

    def read_paragraph(self, paragraph: Element, runs: RunText) -> None:
        """Append the text of *paragraph* to *runs*."""
        self._runs = runs
        self._read(paragraph)
        self._fields.end_paragraph()

    def _read(self, node: Element) -> None:
        handlers = self._handlers
        for child in node:
            handler = handlers.get(child.tag)
            if handler is not None:
                handler(child)
            elif child.tag not in SKIPPED:
                self._read(child)

    def _add(self, text: str) -> None:
        if text and not self._fields.hides_text:
            self._runs.add(text, self._position)

    def _read_text(self, node: Element) -> None:
        text = node.text or ""
        self._add(decode_symbols(text, self._symbol_font) if self._symbol_font else text)

    def _read_character(self, node: Element) -> None:
        if not self._fields.hides_text:
            self._runs.add(_TEXT_BY_TAG[node.tag])

    def _read_break(self, node: Element) -> None:
        if node.get(f"{W}type") == "page" and self._references is not None:
            self._references.start_page()
        if not self._fields.hides_text:
            self._runs.add("\n")

    def _read_run(self, run: Element) -> None:
        properties = run.find(f"{W}rPr")
        if properties is None:
            self._read(run)
            return
        if _is_hidden(properties):
            self._read_hidden_fields(run)
            return
        position, font = self._get_run_format(properties)
        if position in ("superscript", "subscript"):
            self._position = cast(Position, position)
        self._symbol_font = font
        self._read(run)
        self._position, self._symbol_font = "baseline", ""

    def _read_hidden_fields(self, run: Element) -> None:
        """Process the field characters of a hidden run, so that its fields hide no later text."""
        for child in run:
            if child.tag == f"{W}fldChar":
                self._fields.process_character(child)
            elif child.tag == f"{W}instrText":
                self._read_instruction(child)

    def _get_run_format(self, properties: Element) -> tuple[str, str]:
        """Return vertical position and symbol font: direct properties override the style."""
        position, font = "", ""
        for setting in properties:
            if setting.tag == f"{W}rStyle":
                position, font = self._styles.get_run_style(get_value(setting))
            elif setting.tag == f"{W}vertAlign":
                position = get_value(setting)
            elif setting.tag == f"{W}position" and not position:
                position = get_raised_position(get_value(setting))
            elif setting.tag == f"{W}rFonts":
                font = get_symbol_font(setting)
        return position, font

    def _read_field_character(self, node: Element) -> None:
        if text := self._fields.process_character(node):
            self._runs.add(text)

    def _read_simple_field(self, node: Element) -> None:
        mark = self._fields.replace_simple(node.get(f"{W}instr", ""))
        if mark is None:
            self._read(node)
        else:
            self._add(mark)

    def _read_instruction(self, node: Element) -> None:
        self._fields.add_instruction(node.text or "")

    def _read_symbol(self, node: Element) -> None:
        self._add(decode_character_code(node.get(f"{W}char", ""), node.get(f"{W}font", "")))

    def _read_ruby(self, node: Element) -> None:
        base = self._read_separately(node.find(f"{W}rubyBase"))
        reading = self._read_separately(node.find(f"{W}rt"))
        if not self._fields.hides_text:
            self._runs.add_ruby(base, reading)

    def _read_separately(self, node: Element | None) -> str:
        runs, self._runs = self._runs, RunText()
        if node is not None:
            self._read(node)
        text = self._runs.to_text()
        self._runs = runs
        return text

    def _read_equation(self, node: Element) -> None:
        if not self._fields.hides_text:
            self._runs.add(linearize_equation(node))

    def _read_note_reference(self, node: Element) -> None:
        if self._references is None:
            return
        kind = "footnotes" if node.tag == f"{W}footnoteReference" else "endnotes"
        has_own_mark = node.get(f"{W}customMarkFollows", "0") not in ("0", "false", "off")
        self._runs.add(self._references.add_note(kind, node.get(f"{W}id", ""), has_own_mark))

    def _read_reference(self, node: Element) -> None:
        if self._references is None:
            return
        if node.tag == f"{W}commentReference":
            self._references.add_comment(node.get(f"{W}id", ""))
        elif node.tag == f"{W}txbxContent":
            self._references.add_text_box(node)
        elif node.tag == f"{W}lastRenderedPageBreak":
            self._references.start_page()
        else:
            self._references.add_object(node)


def _is_hidden(properties: Element) -> bool:
    vanish = properties.find(f"{W}vanish")
    return vanish is not None and vanish.get(f"{W}val", "1") not in ("0", "false")
