"""What a page says: its words, without what only a browser needs."""

import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urldefrag, urljoin

from lxml import etree, html

_MOST_LINKS: Final = 200
_DROPPED: Final = frozenset(
    {"script", "style", "noscript", "template", "svg", "iframe", "object", "head", "select"}
)
_WITHIN_A_LINE: Final = frozenset(
    {"a", "abbr", "b", "bdi", "cite", "code", "em", "i", "mark", "q", "s", "small", "span"}
    | {"strong", "sub", "sup", "time", "u", "var", "wbr", "img", "label"}
)


@dataclass(frozen=True, slots=True)
class Page:
    """A page's words, and the addresses that it links to."""

    title: str
    text: str
    links: tuple[str, ...] = ()


def read_html(content: bytes, charset: str | None, url: str) -> Page:
    """The page at *url*; *charset* as its server says, the page itself is asked if it does not."""
    try:
        parser = html.HTMLParser(encoding=charset, remove_comments=True, remove_pis=True)
    except LookupError:
        parser = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    try:
        root = html.document_fromstring(content, parser=parser)
    except etree.ParserError:  # there is nothing in it
        return Page("", "")
    pieces: list[str] = []
    links: dict[str, None] = {}
    _collect(root, pieces, links, url)
    title = " ".join((root.findtext(".//title") or "").split())
    return Page(title, _lines("".join(pieces)), tuple(links))


def _collect(root: Any, pieces: list[str], links: dict[str, None], url: str) -> None:
    dropped = None
    for event, element in etree.iterwalk(root, events=("start", "end")):
        tag = element.tag if isinstance(element.tag, str) else ""
        if event == "start" and dropped is None:
            if tag in _DROPPED:
                dropped = element
            else:
                pieces += [_mark(tag), element.text or ""]
                if tag == "a" and len(links) < _MOST_LINKS and (link := element.get("href")):
                    links |= _followed(url, link)
        elif event == "end":
            if dropped is None:
                pieces.append(_mark(tag))
            elif dropped is element:
                dropped = None
            if dropped is None and element is not root:
                pieces.append(element.tail or "")


def _mark(tag: str) -> str:
    return "" if tag in _WITHIN_A_LINE else "\n"


def _followed(url: str, link: str) -> dict[str, None]:
    try:
        target = urldefrag(urljoin(url, link.strip())).url
    except ValueError:
        return {}
    return {target: None} if target.startswith(("http://", "https://")) else {}


def _lines(text: str) -> str:
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
