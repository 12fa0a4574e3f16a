"""A page as every format gives it."""

import re
from dataclasses import dataclass, field
from itertools import pairwise


@dataclass(slots=True)
class Page:
    """Text, and the headings in it as (position in this text, title)."""

    text: str
    headings: list[tuple[int, str]] = field(default_factory=list)


class Unreadable(Exception):
    """The file cannot be read; the message is shown to whoever uploaded it."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class TextBuilder:
    """Gathers lines of text and remembers where headings stand."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._headings: list[tuple[int, str]] = []

    def add(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)

    def heading(self, title: str) -> None:
        """Mark that what is added next stands under *title*."""
        self._headings.append((self._length, title))

    def break_line(self, blank: bool = False) -> None:
        """End the line; with *blank*, the paragraph."""
        tail = "".join(self._parts[-2:])
        if tail:
            self.add("\n" * max(0, (2 if blank else 1) - (len(tail) - len(tail.rstrip("\n")))))

    def page(self) -> Page:
        return Page("".join(self._parts), self._headings)


# NUL ends strings in databases, the other controls are noise of bad fonts, and half of a
# surrogate pair is no character at all: none of them can be stored or sent.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufeff]")
# pdfium's mark for a hyphen at the end of a line, which it joins to the next one. It is put
# back as it is printed, so that a quote is found in what other readers make of the page.
_LINE_HYPHEN = re.compile(r"[\x02\ufffe](\s|$)?")


def cleaned(page: Page) -> Page:
    """The page without what cannot be stored. Positions count from here on and never change."""
    if page.text.isprintable():
        return page
    edges = sorted({0, len(page.text), *(min(at, len(page.text)) for at, _ in page.headings)})
    moved, text = {0: 0}, ""
    for start, end in pairwise(edges):
        text += _clean(page.text[start:end])
        moved[end] = len(text)
    headings = [(moved[min(at, len(page.text))], title) for at, title in page.headings]
    return Page(text, [(at, one_line(title)) for at, title in headings])


def one_line(text: str, most: int = 300) -> str:
    """*text* as a title: no line breaks, nothing unprintable, not endless."""
    return " ".join(_clean(text).split())[:most].strip()


def _clean(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _LINE_HYPHEN.sub(lambda mark: "-" + (mark[1] or "\n"), text)
    return _UNPRINTABLE.sub("", text).replace("\uffff", "")
