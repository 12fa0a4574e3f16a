"""HTML: what a reader would see, block by block."""

import re
from html.parser import HTMLParser
from pathlib import Path

from backend.services.rag.clients.formats.page import Page, TextBuilder
from backend.services.rag.clients.formats.plain import decoded

_CHARSET = re.compile(rb"""<meta[^>]{0,200}charset=["']?([\w-]{2,20})""", re.I)
_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_PARAGRAPHS = _HEADINGS | {
    "p", "ul", "ol", "table", "section", "article", "blockquote", "pre", "figure", "header",
    "footer", "aside", "main", "nav", "dl", "form", "fieldset", "hr",
}  # fmt: skip
_LINES = {"br", "div", "li", "tr", "dt", "dd", "caption", "figcaption", "option"}
_UNSEEN = {"script", "style", "template", "noscript", "svg", "math", "iframe", "object"}


def read(file: Path) -> tuple[str, Page]:
    """The page's title and its visible text."""
    content = file.read_bytes()
    reader = _Reader()
    reader.feed(_decoded(content))
    reader.close()
    return " ".join(reader.title.split()), reader.text.page()


def _decoded(content: bytes) -> str:
    declared = _CHARSET.search(content[:4096])
    if declared and declared[1].lower() not in (b"utf-8", b"utf8", b"utf-16"):
        try:
            return content.decode(declared[1].decode("ascii"), "replace")
        except LookupError:
            pass
    return decoded(content)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title = ""
        self.text = TextBuilder()
        self._unseen = 0
        self._in_title = False
        self._heading: list[str] | None = None
        self._blank = True

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag in _UNSEEN:
            self._unseen += 1
        elif tag == "title":
            self._in_title = True
        self._break(tag)
        if tag in _HEADINGS and not self._unseen:
            self._heading = []
        if tag in ("td", "th"):
            self._add("\t")

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        elif tag == "title":
            self._in_title = False
        if tag in _HEADINGS and self._heading is not None:
            # Marked where the next text begins; the heading's own line belongs to it as well.
            self._heading = None
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data
        elif not self._unseen:
            self._add(re.sub(r"\s+", " ", data))

    def _add(self, text: str) -> None:
        text = text.lstrip() if self._blank else text
        if not text:
            return
        if self._heading == []:
            self._heading.append(text)
            self.text.heading(text.strip())
        self._blank = text.endswith((" ", "\t"))
        self.text.add(text)

    def _break(self, tag: str) -> None:
        if not self._unseen and tag in _PARAGRAPHS | _LINES:
            self.text.break_line(blank=tag in _PARAGRAPHS)
            self._blank = True
