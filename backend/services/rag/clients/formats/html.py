"""HTML: what a reader would see, block by block."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

from backend.services.rag.clients.formats.encodings import decoded
from backend.services.rag.clients.formats.page import Content, Page, TextBuilder

_CHARSET = re.compile(rb"""<meta[^>]{0,200}charset=["']?\s*([\w-]{2,20})""", re.I)
_XML_ENCODING = re.compile(rb"""^\s*<\?xml[^>]{0,80}encoding=["']([\w-]{2,20})""")
_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_PARAGRAPHS = _HEADINGS | {
    "p", "ul", "ol", "table", "section", "article", "blockquote", "pre", "figure", "header",
    "footer", "aside", "main", "nav", "dl", "form", "fieldset", "hr", "details",
}  # fmt: skip
_LINES = {
    "br", "div", "li", "tr", "dt", "dd", "caption", "figcaption", "option", "summary", "legend",
    "address", "body",
}  # fmt: skip
_UNSEEN = {
    "script", "style", "template", "noscript", "svg", "math", "iframe", "object", "select",
    "datalist",
}  # fmt: skip
# Written without an end tag, so they never hide what follows.
_VOID = {
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track",
    "wbr",
}  # fmt: skip
_MOST_NESTED = 50
_MOST_IN_CELL = 400
_MOST_SPAN = 100
_HIDDEN_STYLE = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.I)


def read(file: Path) -> Content:
    """The page's title and its visible text."""
    title, text = visible(file.read_bytes())
    return Content([text.page()], title)


def visible(content: bytes, declared: str | None = None) -> tuple[str, TextBuilder]:
    """Title and text of a page; *declared* is the encoding that came with it."""
    head = content[:4096]
    found = _CHARSET.search(head) or _XML_ENCODING.search(head)
    reader = _Reader()
    reader.feed(decoded(content, declared or (found[1].decode("ascii") if found else None)))
    reader.close()
    return " ".join(reader.title.split()), reader.text


class _Cell(NamedTuple):
    content: Page
    columns: int
    rows: int


@dataclass(slots=True)
class _Table:
    """A table while it is read: whole rows, and the one that is open."""

    rows: list[list[_Cell]] = field(default_factory=list)
    row: list[_Cell] = field(default_factory=list)
    # How many columns and rows the open cell takes, where one is open.
    open: tuple[int, int] | None = None


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title = ""
        # What text goes to: the page, or the cell that is open in each table around us.
        self._builders = [TextBuilder()]
        self._tables: list[_Table] = []
        # The hidden element that we are in, and how many of its name stand within each other.
        self._unseen: tuple[str, int] | None = None
        self._in_title = False
        self._heading: list[str] | None = None
        self._preformatted = 0
        self._blank = True

    @property
    def text(self) -> TextBuilder:
        return self._builders[-1]

    def close(self) -> None:
        super().close()
        while self._tables:
            self._end_table()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._unseen:
            if tag == self._unseen[0]:
                self._unseen = (tag, self._unseen[1] + 1)
            return
        if tag in _UNSEEN or (tag not in _VOID and _is_hidden(dict(attrs))):
            self._unseen = (tag, 1)
            return
        if tag == "title":
            self._in_title = True
        elif tag == "tr" and self._tables:
            self._end_row()
        elif tag in ("td", "th") and self._tables:
            self._begin_cell(dict(attrs))
        self._break(tag)
        if tag in _HEADINGS:
            self._heading = []
        elif tag == "pre":
            self._preformatted += 1
        elif tag == "li":
            self.text.add("• ")
        elif tag == "table" and len(self._tables) < _MOST_NESTED:
            self._tables.append(_Table())

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # As browsers do: only void elements end themselves.
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._unseen:
            name, depth = self._unseen
            if tag == name:
                self._unseen = (name, depth - 1) if depth > 1 else None
            return
        if tag == "title":
            self._in_title = False
        elif tag == "pre":
            self._preformatted = max(0, self._preformatted - 1)
        elif tag in _HEADINGS:
            self._heading = None
        elif tag == "tr" and self._tables:
            self._end_row()
        elif tag == "table" and self._tables:
            self._end_table()
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data
        elif not self._unseen:
            self._add(data if self._preformatted else re.sub(r"\s+", " ", data))

    def _begin_cell(self, attributes: dict[str, str | None]) -> None:
        self._end_cell()
        spans = _count(attributes.get("colspan")), _count(attributes.get("rowspan"))
        self._tables[-1].open = spans
        self._builders.append(TextBuilder())
        self._blank = True

    def _end_cell(self) -> None:
        table = self._tables[-1]
        if table.open:
            table.row.append(_Cell(self._builders.pop().page(), *table.open))
            table.open = None
            self._blank = True

    def _end_row(self) -> None:
        self._end_cell()
        table = self._tables[-1]
        if table.row:
            table.rows.append(table.row)
            table.row = []

    def _end_table(self) -> None:
        self._end_row()
        rows = self._tables.pop().rows
        if not _is_data(rows):
            for cell in (cell for row in rows for cell in row):
                self.text.append(cell.content)
                self.text.break_line(blank=True)
            return
        lines = _grid(rows)
        # Some columns hold nothing at all and only make room.
        used = sorted({at for line in lines for at, text in enumerate(line) if text})
        self.text.table([line[at] for at in used if at < len(line)] for line in lines)

    def _add(self, text: str) -> None:
        text = text.lstrip() if self._blank and not self._preformatted else text
        if not text:
            return
        if self._heading == []:
            self._heading.append(text)
            self.text.heading(text.strip())
        self._blank = text.endswith((" ", "\t", "\n"))
        self.text.add(text)

    def _break(self, tag: str) -> None:
        if tag in _PARAGRAPHS | _LINES:
            self.text.break_line(blank=tag in _PARAGRAPHS)
            self._blank = True


def _is_data(rows: Sequence[Sequence[_Cell]]) -> bool:
    """Whether this is a table, and not a page laid out by means of one."""
    return any(len(row) > 1 for row in rows) and all(
        len(cell.content.text) <= _MOST_IN_CELL
        and not cell.content.headings
        and "\t" not in cell.content.text
        for row in rows
        for cell in row
    )


def _grid(rows: Sequence[Sequence[_Cell]]) -> list[list[str]]:
    """The texts row by row, each in the first of the places that its cell takes."""
    lines: list[list[str]] = []
    reaching: dict[int, int] = {}  # columns taken from above, and for how many rows still
    for row in rows:
        line: list[str] = []
        below: dict[int, int] = {}
        for cell in row:
            while reaching.get(len(line)):
                line.append("")
            places = range(len(line), len(line) + cell.columns)
            below.update(dict.fromkeys(places, cell.rows - 1))
            line += [cell.content.text.strip(), *[""] * (cell.columns - 1)]
        reaching = {at: left - 1 for at, left in reaching.items() if left > 1} | {
            at: left for at, left in below.items() if left
        }
        lines.append(line)
    return lines


def _count(text: str | None) -> int:
    return min(int(text), _MOST_SPAN) if text and re.fullmatch(r"[1-9]\d{0,4}", text) else 1


def _is_hidden(attributes: dict[str, str | None]) -> bool:
    return "hidden" in attributes or bool(_HIDDEN_STYLE.search(attributes.get("style") or ""))
