"""Build plain text with headings and tables, line by line."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class StructuredText:
    """Text, and its headings as (position in the text, title)."""

    text: str
    headings: list[tuple[int, str]] = field(default_factory=list)


class TextTooLong(Exception):
    """The text exceeds the maximum length of its builder."""


class TextBuilder:
    """Appends text and records the positions of headings."""

    def __init__(self, max_chars: int | None = None) -> None:
        self._max_chars = max_chars
        self._parts: list[str] = []
        self._length = 0
        self._headings: list[tuple[int, str]] = []

    def add_text(self, text: str) -> None:
        """Append *text*.

        Raises:
            TextTooLong: the text is longer than the maximum.
        """
        self._length += len(text)
        if self._max_chars is not None and self._length > self._max_chars:
            raise TextTooLong
        self._parts.append(text)

    def add_heading(self, title: str) -> None:
        """Record that the text after this position belongs to the heading *title*."""
        self._headings.append((self._length, title))

    def break_line(self, blank: bool = False) -> None:
        """End the current line; with *blank*, also add a blank line."""
        # Read only the ends of the last parts: a page may have one long part and many line breaks.
        tail = "".join(part[-2:] for part in self._parts[-2:])
        if tail:
            missing = (2 if blank else 1) - (len(tail) - len(tail.rstrip("\n")))
            self.add_text("\n" * max(0, missing))

    def add_paragraph(self, text: str) -> None:
        """Append *text* and a blank line."""
        if text:
            self.add_text(text)
            self.break_line(blank=True)

    def add_table(self, rows: Iterable[Iterable[str]]) -> None:
        """Append one line per row that is not empty, with tabs between the cells."""
        for row in rows:
            line = "\t".join(" ".join(cell.split()) for cell in row).rstrip("\t")
            if line.strip():
                self.add_text(line)
                self.break_line()
        self.break_line(blank=True)

    def add_structured_text(self, content: StructuredText) -> None:
        """Append *content* with its headings."""
        self._headings += [(self._length + position, title) for position, title in content.headings]
        self.add_text(content.text)

    def build(self) -> StructuredText:
        """Return the text so far."""
        return StructuredText("".join(self._parts), list(self._headings))
