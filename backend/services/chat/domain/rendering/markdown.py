"""CommonMark as flat blocks of styled text, which every dialect can write."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

BlockKind = Literal["paragraph", "item", "code", "rule"]
Style = Literal["bold", "italic", "strike", "code"]

# Deeper structures are shown as they were written: the parser would leave their text out.
_MAX_NESTING: Final = 60
# A longer URL is shown as text, so that it can be cut.
_MAX_URL_LENGTH: Final = 500
_LINK_SCHEMES: Final = ("http://", "https://", "mailto:", "tel:")
# Control characters except line feeds and tabs, and overrides of the text direction, which can show
# a text in another order than it has.
_UNWANTED: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202d\u202e\ufeff\ud800-\udfff]")
_BULLET: Final = "• "


@dataclass(frozen=True, slots=True)
class Run:
    """Text with the same styles and link. *url* is None for text without a link."""

    text: str
    styles: frozenset[Style] = frozenset()
    url: str | None = None


@dataclass(frozen=True, slots=True)
class TextBlock:
    """A block of text.

    *prefix* is the bullet or number of a list item, *indent* the depth in lists, *quotes* the depth
    in quotations. *language* is that of a code block. *follows_closely*: no empty line before it.
    """

    kind: BlockKind
    runs: tuple[Run, ...] = ()
    prefix: str = ""
    indent: int = 0
    quotes: int = 0
    language: str = ""
    follows_closely: bool = False

    @property
    def text(self) -> str:
        return "".join(run.text for run in self.runs)


@dataclass(frozen=True, slots=True)
class Document:
    """Blocks of a text, and what of it no channel shows as it was written."""

    blocks: tuple[TextBlock, ...]
    degradations: tuple[str, ...] = ()


def clean_text(text: str) -> str:
    """Return *text* without control characters, unpaired surrogates and direction overrides."""
    return _UNWANTED.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def parse_markdown(text: str) -> Document:
    """Parse CommonMark with tables and strikethrough. HTML is text."""
    text = clean_text(text)
    try:
        tokens = _create_parser().parse(text)
    except RecursionError:
        return parse_plain(text)
    if any(token.level >= _MAX_NESTING - 1 for token in _iterate_tokens(tokens)):
        return parse_plain(text)
    reader = _BlockReader()
    reader.read(tokens)
    return Document(tuple(reader.blocks), tuple(sorted(reader.degradations)))


def parse_plain(text: str) -> Document:
    """Return *text* as paragraphs without any markup."""
    paragraphs = re.split(r"\n\s*\n", clean_text(text))
    return Document(
        tuple(
            TextBlock("paragraph", (Run(part.strip("\n")),)) for part in paragraphs if part.strip()
        )
    )


@cache
def _create_parser() -> "MarkdownIt":
    # Processes that render nothing need no parser in memory.
    from markdown_it import MarkdownIt

    options = {"html": False, "maxNesting": _MAX_NESTING}
    return MarkdownIt("commonmark", options).enable(["table", "strikethrough"])


def _iterate_tokens(tokens: "Sequence[Token]") -> "Iterator[Token]":
    for token in tokens:
        yield token
        yield from token.children or ()


@dataclass(slots=True)
class _List:
    number: int | None
    # The first block of an item has its bullet or number.
    prefix: str = ""


@dataclass(slots=True)
class _BlockReader:
    """Collects blocks from the parser's tokens."""

    blocks: list[TextBlock] = field(default_factory=list)
    degradations: set[str] = field(default_factory=set)
    _lists: list[_List] = field(default_factory=list)
    _quotes: int = 0
    _header: list[tuple[Run, ...]] = field(default_factory=list)
    _cells: list[tuple[Run, ...]] = field(default_factory=list)
    _has_rows: bool = False
    _is_header: bool = False
    _is_heading: bool = False
    _in_cell: bool = False

    def read(self, tokens: "Sequence[Token]") -> None:
        for token in tokens:
            handler = _HANDLERS.get(token.type)
            if handler is not None:
                handler(self, token)

    def open_list(self, token: "Token") -> None:
        is_ordered = token.type == "ordered_list_open"
        start = int(token.attrs.get("start", 1)) if is_ordered else None
        self._lists.append(_List(start))

    def close_list(self, _token: "Token") -> None:
        self._lists.pop()

    def open_item(self, _token: "Token") -> None:
        current = self._lists[-1]
        if current.number is None:
            current.prefix = _BULLET
        else:
            current.prefix = f"{current.number}. "
            current.number += 1

    def close_item(self, _token: "Token") -> None:
        if self._lists[-1].prefix:  # an item without content
            self._add(TextBlock("item"))

    def open_quote(self, _token: "Token") -> None:
        self._quotes += 1

    def close_quote(self, _token: "Token") -> None:
        self._quotes -= 1

    def open_heading(self, _token: "Token") -> None:
        self._is_heading = True

    def close_heading(self, _token: "Token") -> None:
        self._is_heading = False

    def add_rule(self, _token: "Token") -> None:
        self._add(TextBlock("rule"))

    def add_code(self, token: "Token") -> None:
        language = re.sub(r"[^\w+#.-].*", "", token.info.strip())[:30]
        content = token.content.removesuffix("\n")
        self._add(TextBlock("code", (Run(content),), language=language))

    def open_table(self, _token: "Token") -> None:
        self.degradations.add("table_as_lines")
        self._header, self._cells, self._has_rows = [], [], False

    def open_header(self, _token: "Token") -> None:
        self._is_header = True

    def close_header(self, _token: "Token") -> None:
        self._is_header = False

    def open_row(self, _token: "Token") -> None:
        self._cells = []

    def open_cell(self, _token: "Token") -> None:
        self._in_cell = True

    def close_cell(self, _token: "Token") -> None:
        self._in_cell = False

    def close_row(self, _token: "Token") -> None:
        if self._is_header:
            self._header = self._cells
            return
        runs: list[Run] = []
        for index, cell in enumerate(self._cells):
            if not any(run.text.strip() for run in cell):
                continue
            if runs:
                runs.append(Run(" · "))
            name = self._header[index] if index < len(self._header) else ()
            if any(run.text.strip() for run in name):
                runs += [*name, Run(": ")]
            runs += cell
        self._has_rows = True
        self._add(TextBlock("item", tuple(runs), prefix=_BULLET, follows_closely=True))

    def close_table(self, _token: "Token") -> None:
        # A table without rows still shows the names of its columns.
        if not self._has_rows:
            runs = [run for cell in self._header for run in (*cell, Run(" · "))][:-1]
            self._add(TextBlock("paragraph", tuple(runs)))

    def add_inline(self, token: "Token") -> None:
        runs = tuple(_merge_runs(_read_inline(token.children or ())))
        if self._in_cell:
            self._cells.append(runs)
            return
        if self._is_heading:
            runs = tuple(replace(run, styles=run.styles | {"bold"}) for run in runs)
        if any(run.text.strip() for run in runs):
            self._add(TextBlock("paragraph", runs))

    def _add(self, block: TextBlock) -> None:
        if self._lists:
            current = self._lists[-1]
            prefix, current.prefix = current.prefix or block.prefix, ""
            is_item = bool(prefix) and block.kind in {"paragraph", "item"}
            block = replace(
                block,
                kind="item" if is_item else block.kind,
                prefix=prefix,
                indent=len(self._lists) - 1,
                follows_closely=is_item and bool(self.blocks) and self.blocks[-1].kind == "item",
            )
        self.blocks.append(replace(block, quotes=self._quotes))


_HANDLERS: Final = {
    "bullet_list_open": _BlockReader.open_list,
    "ordered_list_open": _BlockReader.open_list,
    "bullet_list_close": _BlockReader.close_list,
    "ordered_list_close": _BlockReader.close_list,
    "list_item_open": _BlockReader.open_item,
    "list_item_close": _BlockReader.close_item,
    "blockquote_open": _BlockReader.open_quote,
    "blockquote_close": _BlockReader.close_quote,
    "heading_open": _BlockReader.open_heading,
    "heading_close": _BlockReader.close_heading,
    "hr": _BlockReader.add_rule,
    "fence": _BlockReader.add_code,
    "code_block": _BlockReader.add_code,
    "table_open": _BlockReader.open_table,
    "thead_open": _BlockReader.open_header,
    "thead_close": _BlockReader.close_header,
    "tr_open": _BlockReader.open_row,
    "tr_close": _BlockReader.close_row,
    "th_open": _BlockReader.open_cell,
    "td_open": _BlockReader.open_cell,
    "th_close": _BlockReader.close_cell,
    "td_close": _BlockReader.close_cell,
    "table_close": _BlockReader.close_table,
    "inline": _BlockReader.add_inline,
}
_STYLES: Final[dict[str, Style]] = {"strong": "bold", "em": "italic", "s": "strike"}


def _read_inline(tokens: "Sequence[Token]") -> Iterator[Run]:
    depths: dict[Style, int] = {"bold": 0, "italic": 0, "strike": 0}
    url: str | None = None
    link_text = ""
    for token in tokens:
        name, _, position = token.type.rpartition("_")
        if name in _STYLES:
            depths[_STYLES[name]] += 1 if position == "open" else -1
            continue
        styles: frozenset[Style] = frozenset(style for style, depth in depths.items() if depth)
        if token.type == "link_open":
            url, link_text = str(token.attrs.get("href", "")), ""
        elif token.type == "link_close":
            if url is not None and not _is_link(url) and url != link_text:
                yield Run(f" ({url})", styles)
            url = None
        elif token.type in {"softbreak", "hardbreak"}:
            yield Run("\n", styles, _get_link(url))
        elif token.type == "image":
            yield from _read_image(token, styles)
        elif token.content:
            link_text += token.content
            run_styles: frozenset[Style] = (
                styles | {"code"} if token.type == "code_inline" else styles
            )
            yield Run(token.content, run_styles, _get_link(url))


def _read_image(token: "Token", styles: frozenset[Style]) -> Iterator[Run]:
    source = str(token.attrs.get("src", ""))
    label = token.content or source
    if _is_link(source):
        yield Run(label, styles, source)
    else:
        yield Run(label if label == source else f"{label} ({source})", styles)


def _is_link(url: str) -> bool:
    return len(url) <= _MAX_URL_LENGTH and url.lower().startswith(_LINK_SCHEMES)


def _get_link(url: str | None) -> str | None:
    return url if url is not None and _is_link(url) else None


def _merge_runs(runs: Iterator[Run]) -> Iterator[Run]:
    previous: Run | None = None
    for run in runs:
        if previous is not None and (previous.styles, previous.url) == (run.styles, run.url):
            previous = replace(previous, text=previous.text + run.text)
            continue
        if previous is not None:
            yield previous
        previous = run
    if previous is not None:
        yield previous
