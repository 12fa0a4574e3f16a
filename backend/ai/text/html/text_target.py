"""Assemble the visible text of a page from the events of a parser."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final
from urllib.parse import urldefrag, urljoin

from backend.ai.text.html.mathml import MathBuilder
from backend.ai.text.html.ordered_lists import (
    BULLET,
    ListNumbering,
    start_ordered_list,
    start_unordered_list,
)
from backend.ai.text.html.parsing import Attributes, MarkupHandler
from backend.ai.text.html.tables import Table
from backend.ai.text.scripts import format_subscript, format_superscript
from backend.ai.text.text_builder import TextBuilder

_HEADINGS: Final = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
# Elements that a blank line precedes and follows.
_PARAGRAPHS: Final = _HEADINGS | {
    "p", "ul", "ol", "menu", "dir", "table", "section", "article", "blockquote", "pre", "figure",
    "header", "footer", "aside", "main", "nav", "dl", "form", "fieldset", "hr", "details",
    "listing", "xmp", "plaintext",
}  # fmt: skip
# Elements that begin and end a line.
_LINES: Final = frozenset({
    "br", "div", "li", "tr", "dt", "dd", "caption", "figcaption", "option", "summary", "legend",
    "address", "body", "center", "hgroup", "search", "dialog",
})  # fmt: skip
_HIDDEN_TAGS: Final = frozenset({
    "script", "style", "template", "noscript", "noembed", "noframes", "svg", "iframe", "object",
    "select", "datalist", "rp",
})  # fmt: skip
_MAX_NESTED_TABLES: Final = 50
_MAX_LINKS: Final = 200
# Longer superscripts are not exponents or note marks.
_MAX_SCRIPT_CHARS: Final = 40
_HIDDEN_STYLE = re.compile(
    r"(?<![\w-])(?:display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse))", re.IGNORECASE
)
_SCRIPT_STYLE = re.compile(r"(?<![\w-])vertical-align\s*:\s*(super|sub)\b", re.IGNORECASE)
_WHITE_SPACE = re.compile(r"\s+")
_HIRAGANA = re.compile(r"[\u3041-\u3096]")
# Readings in these scripts are written without spaces: kana and Bopomofo.
_UNSPACED_READING = re.compile(r"[\u3040-\u30ff\u3100-\u312f\u02c7\u02ca\u02cb\u02d9]+")

_EndAction = Callable[[], None] | None


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


class ReversedListCounter(MarkupHandler):
    """Counts the items of each ordered list: a reversed list starts with the number of its items.

    `item_counts` are in the order of the lists' start tags, without hidden lists.
    """

    def __init__(self) -> None:
        self.item_counts: list[int] = []
        # Indexes into `item_counts` by open element; -1 for other lists, None for other elements.
        self._open: list[int | None] = []
        self._lists = [-1]
        self._hidden_depth = 0

    def start_element(self, tag: str, attrs: Attributes) -> None:
        """Process a start tag."""
        if self._hidden_depth or tag == "math" or _is_hidden(tag, attrs):
            self._hidden_depth += 1
            return
        list_index = None
        if tag == "ol":
            list_index = len(self.item_counts)
            self.item_counts.append(0)
        elif tag in ("ul", "menu", "dir"):
            list_index = -1
        elif tag == "li" and self._lists[-1] >= 0:
            self.item_counts[self._lists[-1]] += 1
        self._open.append(list_index)
        if list_index is not None:
            self._lists.append(list_index)

    def end_element(self, tag: str) -> None:  # noqa: ARG002 - the parser's interface
        """Process an end tag, which may be implied."""
        if self._hidden_depth:
            self._hidden_depth -= 1
        elif self._open.pop() is not None:
            self._lists.pop()


class TextTarget(MarkupHandler):
    """Receives the parser's events, in which elements are properly nested."""

    def __init__(
        self, base_url: str | None, max_chars: int | None, list_item_counts: Sequence[int]
    ) -> None:
        self._base_url = base_url
        self._max_chars = max_chars
        self._list_item_counts = iter(list_item_counts)
        self._title: str | None = None
        self._links: dict[str, None] = {}
        # Targets of text: the page, and open elements whose text is processed when they end. The
        # last one is current.
        self._builders = [TextBuilder(max_chars)]
        self._end_actions: list[_EndAction] = []
        # The number of open elements inside the outermost hidden element, including it.
        self._hidden_depth = 0
        self._tables: list[Table] = []
        self._lists: list[ListNumbering] = []
        # Marker of a list item that has no text yet.
        self._marker = ""
        self._math: MathBuilder | None = None
        self._open_rubies = 0
        # Readings of the ruby elements that end at the current position.
        self._readings: list[str] = []
        self._preformatted_depth = 0
        self._after_space = True
        self._last_char = ""

    def start_element(self, tag: str, attrs: Attributes) -> None:
        """Process a start tag."""
        if self._hidden_depth or _is_hidden(tag, attrs):
            self._hidden_depth += 1
            return
        if self._math is not None:
            self._math.start(tag, dict(attrs))
            self._end_actions.append(self._math.end)
            return
        if tag in _PARAGRAPHS or tag in _LINES:
            self._break_line(tag)
        start = _START_ACTIONS.get(tag) or _find_script_action(attrs)
        self._end_actions.append(start(self, dict(attrs)) if start else None)

    def end_element(self, tag: str) -> None:
        """Process an end tag, which may be implied."""
        if self._hidden_depth:
            self._hidden_depth -= 1
            return
        if action := self._end_actions.pop():
            action()
        if tag in _PARAGRAPHS or tag in _LINES:
            self._break_line(tag)

    def characters(self, data: str) -> None:
        """Process a piece of text."""
        if self._hidden_depth:
            return
        if self._math is not None:
            self._math.add_text(data)
        elif self._preformatted_depth:
            self._add_text(data)
        else:
            self._add_text(_WHITE_SPACE.sub(" ", data))

    def build(self) -> HtmlText:
        """Return the text of the page."""
        self._flush()
        content = self._text.build()
        return HtmlText(
            self._title or "", content.text.rstrip(), content.headings, tuple(self._links)
        )

    @property
    def _text(self) -> TextBuilder:
        return self._builders[-1]

    def _start_capture(self) -> None:
        """Collect the following text separately from the text of the page."""
        self._builders.append(TextBuilder(self._max_chars))

    def _add_text(self, text: str) -> None:
        if self._after_space and not self._preformatted_depth:
            text = text.lstrip()
        if not text:
            return
        if self._readings and not self._open_rubies:
            self._add_readings(text)
        self._add_marker()
        self._after_space = text.endswith((" ", "\t", "\n"))
        self._last_char = text[-1]
        self._text.add_text(text)

    def _add_marker(self) -> None:
        if self._marker:
            self._text.add_text(f"{self._marker} ")
            self._marker = ""

    def _add_readings(self, following: str) -> None:
        """Add the readings of ruby text in parentheses before the text *following*.

        A reading in kana is omitted before hiragana: it would separate the stem and the ending of a
        word, so that searches would not find the word.
        """
        readings, self._readings = self._readings, []
        is_unspaced = all(map(_UNSPACED_READING.fullmatch, readings))
        if is_unspaced and _HIRAGANA.match(following):
            return
        self._text.add_text(f"({('' if is_unspaced else ' ').join(readings)})")

    def _flush(self) -> None:
        """Add the pending readings of ruby text and the pending list marker."""
        if self._readings and not self._open_rubies:
            self._add_readings("")
        self._add_marker()

    def _break_line(self, tag: str) -> None:
        if self._marker:
            return  # the blocks in a list item begin on the line of its marker
        self._flush()
        self._text.break_line(blank=tag in _PARAGRAPHS)
        self._after_space = True
        self._last_char = ""

    def _start_title(self, _: Mapping[str, str | None]) -> _EndAction:
        self._flush()
        outer = self._after_space, self._last_char
        self._start_capture()
        return partial(self._end_title, *outer)

    def _end_title(self, after_space: bool, last_char: str) -> None:
        title = " ".join(self._builders.pop().build().text.split())
        self._after_space, self._last_char = after_space, last_char
        # Later title elements are not visible.
        if self._title is None:
            self._title = title

    def _start_preformatted(self, _: Mapping[str, str | None]) -> _EndAction:
        self._preformatted_depth += 1
        return self._end_preformatted

    def _end_preformatted(self) -> None:
        self._preformatted_depth -= 1

    def _start_heading(self, _: Mapping[str, str | None]) -> _EndAction:
        self._add_marker()
        self._start_capture()
        return self._end_heading

    def _end_heading(self) -> None:
        self._flush()
        content = self._builders.pop().build()
        if title := " ".join(content.text.split()):
            self._text.add_heading(title)
        self._text.add_structured_text(content)

    def _start_link(self, attributes: Mapping[str, str | None]) -> None:
        if self._base_url is not None and (href := attributes.get("href")):
            self._add_link(self._base_url, href)

    def _add_link(self, base_url: str, href: str) -> None:
        if len(self._links) >= _MAX_LINKS:
            return
        try:
            url = urldefrag(urljoin(base_url, href.strip())).url
        except ValueError:
            return
        if url.startswith(("http://", "https://")):
            self._links[url] = None

    def _start_list(self, is_ordered: bool, attributes: Mapping[str, str | None]) -> _EndAction:
        if is_ordered:
            numbering = start_ordered_list(attributes, next(self._list_item_counts, 1))
        else:
            numbering = start_unordered_list(attributes)
        self._lists.append(numbering)
        return self._end_list

    def _end_list(self) -> None:
        self._lists.pop()

    def _start_item(self, attributes: Mapping[str, str | None]) -> _EndAction:
        marker = self._lists[-1].format_marker(attributes) if self._lists else BULLET
        self._marker = f"{self._marker} {marker}".strip()
        return self._flush

    def _start_table(self, _: Mapping[str, str | None]) -> _EndAction:
        if len(self._tables) >= _MAX_NESTED_TABLES:
            return None
        self._tables.append(Table())
        return self._end_table

    def _end_table(self) -> None:
        self._flush()
        table = self._tables.pop()
        table.end_row()
        table.write(self._text)

    def _start_row(self, _: Mapping[str, str | None]) -> _EndAction:
        return self._tables[-1].end_row if self._tables else None

    def _start_cell(self, attributes: Mapping[str, str | None]) -> _EndAction:
        if not self._tables:
            return None
        self._start_capture()
        self._start_cell_text()
        return partial(self._end_cell, attributes.get("colspan"), attributes.get("rowspan"))

    def _end_cell(self, column_span: str | None, row_span: str | None) -> None:
        self._flush()
        self._tables[-1].add_cell(self._builders.pop().build(), column_span, row_span)
        self._start_cell_text()

    def _start_cell_text(self) -> None:
        self._after_space = True
        self._last_char = ""

    def _start_script(self, is_superscript: bool, _: Mapping[str, str | None]) -> _EndAction:
        self._flush()
        before = self._last_char
        self._start_capture()
        return partial(self._end_script, is_superscript, before)

    def _end_script(self, is_superscript: bool, before: str) -> None:
        content = self._builders.pop().build()
        text = content.text.strip()
        if not text or content.headings or len(text) > _MAX_SCRIPT_CHARS or "\n" in text:
            self._text.add_structured_text(content)
            return
        formatted = format_superscript(text, before) if is_superscript else format_subscript(text)
        self._text.add_text(content.text.replace(text, formatted, 1))

    def _start_ruby(self, _: Mapping[str, str | None]) -> _EndAction:
        self._open_rubies += 1
        return self._end_ruby

    def _end_ruby(self) -> None:
        self._open_rubies -= 1

    def _start_reading(self, _: Mapping[str, str | None]) -> _EndAction:
        self._add_marker()
        outer = self._after_space, self._last_char
        self._start_capture()
        self._after_space = True
        return partial(self._end_reading, *outer)

    def _end_reading(self, after_space: bool, last_char: str) -> None:
        reading = " ".join(self._builders.pop().build().text.split())
        self._after_space, self._last_char = after_space, last_char
        if reading:
            self._readings.append(reading)

    def _start_math(self, attributes: Mapping[str, str | None]) -> _EndAction:
        is_block = (attributes.get("display") or "").lower() == "block"
        if is_block:
            self._break_line("div")
        self._math = MathBuilder(attributes)
        return partial(self._end_math, is_block)

    def _end_math(self, is_block: bool) -> None:
        if self._math is not None:
            formula = self._math.build()
            self._math = None
            self._add_text(formula)
        if is_block:
            self._break_line("div")


_START_ACTIONS: Final[dict[str, Callable[[TextTarget, Mapping[str, str | None]], _EndAction]]] = {
    "title": TextTarget._start_title,
    "pre": TextTarget._start_preformatted,
    "listing": TextTarget._start_preformatted,
    "xmp": TextTarget._start_preformatted,
    "plaintext": TextTarget._start_preformatted,
    "textarea": TextTarget._start_preformatted,
    "a": TextTarget._start_link,
    "ol": lambda target, attributes: target._start_list(True, attributes),
    "ul": lambda target, attributes: target._start_list(False, attributes),
    "menu": lambda target, attributes: target._start_list(False, attributes),
    "dir": lambda target, attributes: target._start_list(False, attributes),
    "li": TextTarget._start_item,
    "table": TextTarget._start_table,
    "tr": TextTarget._start_row,
    "td": TextTarget._start_cell,
    "th": TextTarget._start_cell,
    "sup": lambda target, attributes: target._start_script(True, attributes),
    "sub": lambda target, attributes: target._start_script(False, attributes),
    "ruby": TextTarget._start_ruby,
    "rt": TextTarget._start_reading,
    "rtc": TextTarget._start_reading,
    "math": TextTarget._start_math,
    **dict.fromkeys(_HEADINGS, TextTarget._start_heading),
}


def _find_script_action(
    attributes: Attributes,
) -> Callable[[TextTarget, Mapping[str, str | None]], _EndAction] | None:
    """Return the action for an element that is raised or lowered by its style, or None."""
    for name, value in attributes:
        if name == "style" and (match := _SCRIPT_STYLE.search(value or "")):
            return _START_ACTIONS["sup" if match[1].lower() == "super" else "sub"]
    return None


def _is_hidden(tag: str, attributes: Attributes) -> bool:
    """Check the tag and the attributes of an element. Style sheets are not evaluated."""
    if tag in _HIDDEN_TAGS:
        return True
    return any(
        name == "hidden" or (name == "style" and bool(_HIDDEN_STYLE.search(value or "")))
        for name, value in attributes
    )
