"""Fields in the text of a DOCX file (ECMA-376 Part 1, 17.16): which parts of them are displayed."""

import re
from dataclasses import dataclass, field

from backend.services.rag.extraction.office.docx.styles import W, get_value, parse_int
from backend.services.rag.extraction.office.ooxml import Element

_FIELD_NAME = re.compile(r"\s*([A-Za-z]+)")
_PAGE_NUMBERS = ("PAGE", "NUMPAGES", "SECTIONPAGES")
# Bounds the time to process each `w:fldChar`.
_MAX_NESTED_FIELDS = 20
_CHECKED, _UNCHECKED = "☒", "☐"


@dataclass(slots=True)
class _Field:
    """An open field: its instruction, and whether its displayed result has begun."""

    instruction: list[str] = field(default_factory=list)
    shows_result: bool = False
    # True for a form field, whose value is in its properties, and for a page number. The stored
    # result is then not shown.
    has_own_text: bool = False
    # True if the instruction contains a page number field, as in `{PAGE} - 1`.
    uses_page_number: bool = False

    def is_page_number(self) -> bool:
        return self.uses_page_number or _is_page_number("".join(self.instruction))


class Fields:
    """Keeps track of the open fields, which may be nested and span paragraphs."""

    def __init__(self, page_number_mark: str | None = None) -> None:
        """If *page_number_mark* is given, page numbers are replaced with it."""
        self._open: list[_Field] = []
        self._mark = page_number_mark
        self.hides_text = False

    def process_character(self, node: Element) -> str:
        """Process a `w:fldChar`, which begins, separates or ends a field. Return its text."""
        kind = node.get(f"{W}fldCharType", "")
        text = ""
        if kind == "begin":
            text = self._begin(node.find(f"{W}ffData"))
        elif kind == "separate" and self._open:
            text = self._show_result()
        elif kind == "end" and self._open:
            text = self._end()
        is_hidden = self.hides_text and kind == "begin"
        self._update()
        return "" if is_hidden else text

    def add_instruction(self, text: str) -> None:
        if self._open and not self._open[-1].shows_result:
            self._open[-1].instruction.append(text)

    def end_paragraph(self) -> None:
        """Show the text of open fields that lack a separator, as in a malformed document."""
        for part in self._open:
            part.shows_result, part.has_own_text = True, False
        self._update()

    def replace_simple(self, instruction: str) -> str | None:
        """Return the text that replaces a `w:fldSimple`, or None if its content is the text."""
        return self._mark if _is_page_number(instruction) else None

    def _begin(self, form: Element | None) -> str:
        value = _get_form_value(form) if form is not None else None
        self._open.append(_Field(has_own_text=value is not None))
        del self._open[:-_MAX_NESTED_FIELDS]
        return value or ""

    def _show_result(self) -> str:
        current = self._open[-1]
        if current.shows_result:
            return ""
        current.shows_result = True
        if self._mark is not None and current.is_page_number():
            current.has_own_text = True
            return self._emit_mark(self._open[:-1])
        return ""

    def _end(self) -> str:
        current = self._open.pop()
        self._update()
        if self._mark is not None and not current.shows_result and current.is_page_number():
            return self._emit_mark(self._open)
        return ""

    def _emit_mark(self, enclosing: list[_Field]) -> str:
        """Return the mark, or "" in an instruction, whose field is then a page number too."""
        calculated = next((part for part in enclosing if not part.shows_result), None)
        if calculated is None:
            return self._mark or ""
        calculated.uses_page_number = True
        return ""

    def _update(self) -> None:
        self.hides_text = any(not part.shows_result or part.has_own_text for part in self._open)


def _is_page_number(instruction: str) -> bool:
    name = _FIELD_NAME.match(instruction)
    return name is not None and name[1].upper() in _PAGE_NUMBERS


def _get_form_value(form: Element) -> str | None:
    """Return the value of a check box or drop-down list (17.16.7, 17.16.9), or None for others."""
    check_box, choices = form.find(f"{W}checkBox"), form.find(f"{W}ddList")
    if check_box is not None:
        state = check_box.find(f"{W}checked")
        if state is None:
            state = check_box.find(f"{W}default")
        is_checked = state is not None and state.get(f"{W}val", "1") not in ("0", "false", "off")
        return _CHECKED if is_checked else _UNCHECKED
    if choices is None:
        return None
    entries = [get_value(entry) for entry in choices.findall(f"{W}listEntry")]
    chosen = get_value(choices.find(f"{W}result")) or get_value(choices.find(f"{W}default"))
    index = parse_int(chosen)
    return entries[index] if index < len(entries) else ""
