"""Footnotes, endnotes and comments of a DOCX file, with the numbers that Word displays."""

from collections.abc import Iterator
from dataclasses import dataclass

from backend.services.rag.extraction.office.docx.number_sequences import format_number
from backend.services.rag.extraction.office.docx.styles import (
    W,
    find_descendant,
    get_value,
    parse_int,
)
from backend.services.rag.extraction.office.ooxml import Element

_PROPERTIES = {"footnotes": "footnotePr", "endnotes": "endnotePr"}
# ECMA-376 Part 1, 17.11.17 and 17.11.18.
_DEFAULT_FORMATS = {"footnotes": "decimal", "endnotes": "lowerRoman"}


@dataclass(slots=True)
class _Numbering:
    """Properties of the numbers of one kind of notes (17.11.19 and 17.11.20)."""

    number_format: str
    start: int
    # `continuous`, `eachSect` or `eachPage`.
    restart: str


class NoteNumbers:
    """Counts the references to one kind of notes in document order."""

    def __init__(self, kind: str, settings: Element | None, sections: list[Element]) -> None:
        """Read the numbering properties.

        Args:
            kind: `footnotes` or `endnotes`.
            sections: the section properties of the document, in order.
        """
        default = _Numbering(_DEFAULT_FORMATS[kind], 1, "continuous")
        document = _read_numbering(settings, _PROPERTIES[kind], default)
        self._sections = [
            _read_numbering(section, _PROPERTIES[kind], document) for section in sections
        ] or [document]
        self._section = 0
        self._count = self._sections[0].start - 1

    def next_number(self) -> str:
        """Count a note and return its number."""
        self._count += 1
        return format_number(self._count, self._current.number_format)

    def start_section(self) -> None:
        """Use the properties of the next section."""
        self._section = min(self._section + 1, len(self._sections) - 1)
        if self._current.restart in ("eachSect", "eachPage"):
            self._count = self._current.start - 1

    def start_page(self) -> None:
        """Restart the numbers if the notes are numbered separately on each page."""
        if self._current.restart == "eachPage":
            self._count = self._current.start - 1

    @property
    def _current(self) -> _Numbering:
        return self._sections[self._section]


def find_sections(body: Element) -> list[Element]:
    """Return the properties of all sections of *body*. They are at the end of each section."""
    return list(_iterate_sections(body))


def _iterate_sections(node: Element) -> Iterator[Element]:
    for child in node:
        if child.tag == f"{W}sectPr":
            yield child
        elif child.tag == f"{W}p":
            section = find_descendant(child, f"{W}pPr", f"{W}sectPr")
            if section is not None:
                yield section
        elif child.tag in (f"{W}sdt", f"{W}sdtContent", f"{W}ins", f"{W}customXml"):
            yield from _iterate_sections(child)


def _read_numbering(parent: Element | None, tag: str, default: _Numbering) -> _Numbering:
    properties = parent.find(f"{W}{tag}") if parent is not None else None
    if properties is None:
        return default
    start = get_value(properties.find(f"{W}numStart"))
    return _Numbering(
        get_value(properties.find(f"{W}numFmt")) or default.number_format,
        parse_int(start) if start else default.start,
        get_value(properties.find(f"{W}numRestart")) or default.restart,
    )
