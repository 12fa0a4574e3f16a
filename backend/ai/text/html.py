"""Convert HTML to its visible text, with headings, tables and links.

libxml2 parses the markup. Python's html.parser takes quadratic time for some malformed pages.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import urldefrag, urljoin

from lxml import etree

from backend.ai.text.encodings import decode_text
from backend.ai.text.text_builder import StructuredText, TextBuilder

_HEADINGS: Final = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
# Elements that a blank line precedes and follows.
_PARAGRAPHS: Final = _HEADINGS | {
    "p", "ul", "ol", "table", "section", "article", "blockquote", "pre", "figure", "header",
    "footer", "aside", "main", "nav", "dl", "form", "fieldset", "hr", "details",
}  # fmt: skip
# Elements that begin and end a line.
_LINES: Final = frozenset({
    "br", "div", "li", "tr", "dt", "dd", "caption", "figcaption", "option", "summary", "legend",
    "address", "body",
})  # fmt: skip
_HIDDEN_TAGS: Final = frozenset({
    "script", "style", "template", "noscript", "svg", "math", "iframe", "object", "select",
    "datalist",
})  # fmt: skip
_MAX_NESTED_TABLES: Final = 50
# Longer cells indicate a table that is used for layout.
_MAX_CELL_CHARS: Final = 400
_MAX_SPAN: Final = 100
# Bounds the time for tables whose cells span many rows and columns.
_MAX_COLUMNS: Final = 500
_MAX_LINKS: Final = 200
_DECLARATION_BYTES: Final = 4096
_META_CHARSET = re.compile(rb"""<meta[^>]{0,200}charset=["']?\s*([\w-]{2,20})""", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"""^\s*<\?xml[^>]{0,80}encoding=["']([\w-]{2,20})""")
_HIDDEN_STYLE = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.IGNORECASE)
_SPAN = re.compile(r"[1-9]\d{0,4}")
_WHITE_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class HtmlText:
    """The visible text of an HTML page.

    `headings` are (position in `text`, title), `links` the absolute http and https URLs that the
    page links to, without fragments and repetitions.
    """

    title: str
    text: str
    headings: Sequence[tuple[int, str]] = ()
    links: Sequence[str] = ()


def decode_html(content: bytes, declared_encoding: str | None = None) -> str:
    """Decode the page *content*.

    *declared_encoding* is the encoding of the Content-Type header. It takes precedence over the
    encoding that the page declares.
    """
    head = content[:_DECLARATION_BYTES]
    charset = _META_CHARSET.search(head) or _XML_ENCODING.search(head)
    if declared_encoding is None and charset is not None:
        declared_encoding = charset[1].decode("ascii")
    return decode_text(content, declared_encoding)


def extract_html_text(
    markup: str, base_url: str | None = None, max_chars: int | None = None
) -> HtmlText:
    """Return the visible text of *markup*, as a browser shows it.

    Args:
        markup: the decoded page. Malformed pages are parsed as far as possible.
        base_url: the page's URL. Links are collected if it is given.
        max_chars: the maximum length of the text.

    Raises:
        TextTooLong: the text is longer than *max_chars*.
    """
    target = _TextTarget(base_url, max_chars)
    parser = etree.HTMLParser(target=target, encoding="utf-8", huge_tree=True)
    # libxml2 ends the document at a NUL character.
    parser.feed(markup.replace("\0", "").encode("utf-8", "replace"))
    parser.close()
    return target.build()


class _Cell(NamedTuple):
    content: StructuredText
    columns: int
    rows: int


@dataclass(slots=True)
class _Table:
    """A table that is being parsed: its complete rows and the open row."""

    rows: list[list[_Cell]] = field(default_factory=list)
    row: list[_Cell] = field(default_factory=list)
    # Column span and row span of the open cell, if any.
    open_cell: tuple[int, int] | None = None


class _TextTarget:
    """Receives the parser's events; see lxml's parser target interface."""

    def __init__(self, base_url: str | None, max_chars: int | None) -> None:
        self._base_url = base_url
        self._max_chars = max_chars
        self._title_parts: list[str] = []
        self._links: dict[str, None] = {}
        # Targets of text: the page, and the open cell of each open table. The last one is current.
        self._builders = [TextBuilder(max_chars)]
        self._tables: list[_Table] = []
        # The number of open elements from the outermost hidden one on.
        self._hidden_depth = 0
        self._in_title = False
        # True between the start tag of a heading and its first text.
        self._expects_heading = False
        self._preformatted_depth = 0
        self._after_space = True

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Process a start tag. libxml2 also reports an end tag for void elements."""
        if self._hidden_depth or tag in _HIDDEN_TAGS or _is_hidden(attributes):
            self._hidden_depth += 1
            return
        if tag == "title":
            self._in_title = True
        elif tag == "tr" and self._tables:
            self._end_row()
        elif tag in ("td", "th") and self._tables:
            self._start_cell(attributes)
        self._break_line(tag)
        if tag in _HEADINGS:
            self._expects_heading = True
        elif tag == "pre":
            self._preformatted_depth += 1
        elif tag == "li":
            self._text.add_text("• ")
        elif tag == "table" and len(self._tables) < _MAX_NESTED_TABLES:
            self._tables.append(_Table())
        elif tag == "a" and self._base_url is not None and (href := attributes.get("href")):
            self._add_link(self._base_url, href)

    def end(self, tag: str) -> None:
        """Process an end tag, which may be implied."""
        if self._hidden_depth:
            self._hidden_depth -= 1
            return
        if tag == "title":
            self._in_title = False
        elif tag == "pre":
            self._preformatted_depth = max(0, self._preformatted_depth - 1)
        elif tag in _HEADINGS:
            self._expects_heading = False
        elif tag == "tr" and self._tables:
            self._end_row()
        elif tag == "table" and self._tables:
            self._end_table()
        self._break_line(tag)

    def data(self, text: str) -> None:
        """Process a piece of text."""
        if self._hidden_depth:
            return
        if self._in_title:
            self._title_parts.append(text)
        else:
            self._add_text(text if self._preformatted_depth else _WHITE_SPACE.sub(" ", text))

    def close(self) -> None:
        """Close the tables that the page left open."""
        while self._tables:
            self._end_table()

    def build(self) -> HtmlText:
        """Return the text of the page."""
        content = self._text.build()
        title = " ".join("".join(self._title_parts).split())
        return HtmlText(title, content.text.rstrip(), content.headings, tuple(self._links))

    @property
    def _text(self) -> TextBuilder:
        return self._builders[-1]

    def _start_cell(self, attributes: Mapping[str, str]) -> None:
        self._end_cell()
        spans = _parse_span(attributes.get("colspan")), _parse_span(attributes.get("rowspan"))
        self._tables[-1].open_cell = spans
        self._builders.append(TextBuilder(self._max_chars))
        self._after_space = True

    def _end_cell(self) -> None:
        table = self._tables[-1]
        if table.open_cell:
            table.row.append(_Cell(self._builders.pop().build(), *table.open_cell))
            table.open_cell = None
            self._after_space = True

    def _end_row(self) -> None:
        self._end_cell()
        table = self._tables[-1]
        if table.row:
            table.rows.append(table.row)
            table.row = []

    def _end_table(self) -> None:
        self._end_row()
        rows = self._tables.pop().rows
        if not _is_data_table(rows):
            for cell in (cell for row in rows for cell in row):
                self._text.add_structured_text(cell.content)
                self._text.break_line(blank=True)
            return
        lines = _expand_spans(rows)
        # Omit empty columns, which serve as spacing.
        used = sorted({column for line in lines for column, text in enumerate(line) if text})
        self._text.add_table(
            [line[column] for column in used if column < len(line)] for line in lines
        )

    def _add_text(self, text: str) -> None:
        text = text.lstrip() if self._after_space and not self._preformatted_depth else text
        if not text:
            return
        if self._expects_heading:
            self._expects_heading = False
            self._text.add_heading(text.strip())
        self._after_space = text.endswith((" ", "\t", "\n"))
        self._text.add_text(text)

    def _break_line(self, tag: str) -> None:
        if tag in _PARAGRAPHS or tag in _LINES:
            self._text.break_line(blank=tag in _PARAGRAPHS)
            self._after_space = True

    def _add_link(self, base_url: str, href: str) -> None:
        if len(self._links) >= _MAX_LINKS:
            return
        try:
            url = urldefrag(urljoin(base_url, href.strip())).url
        except ValueError:
            return
        if url.startswith(("http://", "https://")):
            self._links[url] = None


def _is_data_table(rows: Sequence[Sequence[_Cell]]) -> bool:
    """Return True if the table contains data and is not used for the layout of a page."""
    return any(len(row) > 1 for row in rows) and all(
        len(cell.content.text) <= _MAX_CELL_CHARS
        and not cell.content.headings
        and "\t" not in cell.content.text
        for row in rows
        for cell in row
    )


def _expand_spans(rows: Iterable[Sequence[_Cell]]) -> list[list[str]]:
    """Return the texts by row and column.

    The text of a cell that spans several rows or columns is in the first of them.
    """
    lines: list[list[str]] = []
    rows_left: dict[int, int] = {}  # by column: following rows that a cell above still spans
    for row in rows:
        line: list[str] = []
        new_spans: dict[int, int] = {}
        for cell in row:
            while rows_left.get(len(line)) and len(line) < _MAX_COLUMNS:
                line.append("")
            column_count = min(cell.columns, max(1, _MAX_COLUMNS - len(line)))
            columns = range(len(line), len(line) + column_count)
            new_spans.update(dict.fromkeys(columns, cell.rows - 1))
            line += [cell.content.text.strip(), *[""] * (column_count - 1)]
        rows_left = {column: left - 1 for column, left in rows_left.items() if left > 1} | {
            column: left for column, left in new_spans.items() if left
        }
        lines.append(line)
    return lines


def _parse_span(text: str | None) -> int:
    return min(int(text), _MAX_SPAN) if text and _SPAN.fullmatch(text) else 1


def _is_hidden(attributes: Mapping[str, str]) -> bool:
    return "hidden" in attributes or bool(_HIDDEN_STYLE.search(attributes.get("style") or ""))
