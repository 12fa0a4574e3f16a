"""A page as every format gives it, and what is done to the text of all of them."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise


@dataclass(slots=True)
class Page:
    """Text, and the headings in it as (position in this text, title)."""

    text: str
    headings: list[tuple[int, str]] = field(default_factory=list)


class Scan(Enum):
    """Says that the next page is read from a picture, which takes its time."""

    NEXT = 1


SCAN = Scan.NEXT


@dataclass(slots=True)
class Content:
    """What a reader makes of a file. Pages come one by one, so that none waits for the last."""

    pages: "Iterable[Page | Scan]"
    title: str = ""
    # How many pages there are; 0 for a file that has none, whose text comes as one page.
    total: int = 0


class Unreadable(Exception):
    """The file cannot be read; the message is shown to whoever uploaded it."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


# What small files may grow to here; how much of it is kept is decided by whoever asked.
_MOST_CHARACTERS = 50_000_000


class TextBuilder:
    """Gathers lines of text and remembers where headings stand."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._headings: list[tuple[int, str]] = []

    def add(self, text: str) -> None:
        self._length += len(text)
        if self._length > _MOST_CHARACTERS:
            raise Unreadable("too_much_text", "This file holds more text than is read.")
        self._parts.append(text)

    def heading(self, title: str) -> None:
        """Mark that what is added next stands under *title*."""
        self._headings.append((self._length, title))

    def break_line(self, blank: bool = False) -> None:
        """End the line; with *blank*, the paragraph."""
        tail = "".join(self._parts[-2:])
        if tail:
            self.add("\n" * max(0, (2 if blank else 1) - (len(tail) - len(tail.rstrip("\n")))))

    def paragraph(self, text: str) -> None:
        if text:
            self.add(text)
            self.break_line(blank=True)

    def table(self, rows: Iterable[Iterable[str]]) -> None:
        """A line for each row that holds anything, a tab between cells."""
        for row in rows:
            line = "\t".join(" ".join(cell.split()) for cell in row).rstrip("\t")
            if line.strip():
                self.add(line)
                self.break_line()
        self.break_line(blank=True)

    def append(self, page: Page) -> None:
        self._headings += [(self._length + at, title) for at, title in page.headings]
        self.add(page.text)

    def page(self) -> Page:
        return Page("".join(self._parts), self._headings)


# What ends a line elsewhere than here, and blanks that differ from a blank only in print.
_LINE_ENDS = re.compile(r"\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_BLANKS = re.compile(r"[\xa0\u2000-\u200a\u202f\u205f]")
# pdfium's mark for a hyphen at the end of a line, which it joins to the next one. It is put
# back as it is printed, so that a quote is found in what other readers make of the page.
_LINE_HYPHEN = re.compile(r"[\x02\ufffe](\s|$)?")
# A soft hyphen is seen only where a line ends.
_SOFT_HYPHEN_SEEN = re.compile(r"\xad(?=[ \t]*\n)")
# Letters that are one only in a font: fi, fl, the four shapes of an Arabic letter.
_FONT_FORMS = re.compile(r"[\ufb00-\ufb4f\ufb50-\ufdff\ufe70-\ufefc]+")
# Bullets of symbol fonts, which have no place of their own in Unicode.
_BULLETS = re.compile(r"[\uf0b7\uf0a7\uf0d8\uf076\uf0fc]")
# NUL ends strings in databases, the other controls are noise of bad fonts, half of a surrogate
# pair is no character at all, marks of direction and zero-width blanks are seen by nobody.
_UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069"
    r"\ud800-\udfff\ue000-\uf8ff\ufeff\ufff9-\ufffb\ufffe\uffff]"
)
_LINE_TAIL = re.compile(r"[ \t]+(?=\n)")
_MANY_BLANK_LINES = re.compile(r"\n{3,}")


def cleaned(page: Page) -> Page:
    """The page as it is kept. Positions count from here on and never change."""
    edges = sorted({0, len(page.text), *(min(at, len(page.text)) for at, _ in page.headings)})
    moved, parts, length = {0: 0}, [], 0
    for start, end in pairwise(edges):
        parts.append(_clean(page.text[start:end]))
        length += len(parts[-1])
        moved[end] = length
    headings = [(moved[min(at, len(page.text))], title) for at, title in page.headings]
    return Page("".join(parts), [(at, one_line(title)) for at, title in headings])


def one_line(text: str, most: int = 300) -> str:
    """*text* as a title: no line breaks, nothing unprintable, not endless."""
    return " ".join(_clean(text).split())[:most].strip()


def _clean(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    text = _LINE_ENDS.sub("\n", text)
    text = _LINE_HYPHEN.sub(lambda mark: "-" + (mark[1] or "\n"), text)
    text = _SOFT_HYPHEN_SEEN.sub("-", text)
    text = _BLANKS.sub(" ", _BULLETS.sub("•", text))
    text = _FONT_FORMS.sub(lambda forms: unicodedata.normalize("NFKC", forms[0]), text)
    text = _UNPRINTABLE.sub("", unicodedata.normalize("NFC", text))
    return _MANY_BLANK_LINES.sub("\n\n", _LINE_TAIL.sub("", text))
