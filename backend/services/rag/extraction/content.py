"""Content of a parsed file: pages of text with headings, and the normalization of text."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise

from backend.ai.text import text_builder
from backend.ai.text.normalization import normalize

RecognizedLine = tuple[float, float, float, float, int, str]
"""Left, top, right and bottom of a line in fractions of the page, the number of counterclockwise
quarter turns that make its text upright, and the text."""


@dataclass(slots=True)
class Page(text_builder.StructuredText):
    """Text of a page and its headings as (position in this text, title).

    *lines* are the lines that OCR recognized, if it did.
    """

    lines: list[RecognizedLine] = field(default_factory=list)


class PageSignal(Enum):
    """Item that a parser yields between pages."""

    # The next page needs OCR, which takes seconds.
    OCR_STARTED = 1
    # OCR cannot read the script of the next page.
    UNREAD_SCRIPT = 2


OCR_STARTED = PageSignal.OCR_STARTED
UNREAD_SCRIPT = PageSignal.UNREAD_SCRIPT


# Attachments of a message beyond these limits are listed without their content.
MAX_ATTACHMENTS = 100
MAX_ATTACHMENT_BYTES = 100 * 2**20


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file within the parsed file. *filename* and *media_type* are as declared by the sender."""

    filename: str
    media_type: str
    content: bytes


@dataclass(slots=True)
class Content:
    """Result of a parser.

    Parsers may yield pages one by one, so that the first is available before the last is parsed.
    """

    pages: "Iterable[Page | PageSignal]"
    title: str = ""
    # 0 for a file type without pages. Its text is then yielded as a single page.
    page_count: int = 0
    attachments: Sequence[Attachment] = ()


class UnreadableFile(Exception):
    """The file cannot be parsed. The message is shown to its owner."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


# Bounds the memory for one page. The extractor applies the limit on the text of the whole file.
MAX_PAGE_CHARS = 50_000_000
TOO_MUCH_TEXT = "too_much_text", "The file contains more text than is supported."


class TextBuilder(text_builder.TextBuilder):
    """Assembles the text of a page. Raises UnreadableFile if the page becomes too long."""

    def __init__(self) -> None:
        super().__init__(MAX_PAGE_CHARS)

    def add_text(self, text: str) -> None:
        try:
            super().add_text(text)
        except text_builder.TextTooLong as error:
            raise UnreadableFile(*TOO_MUCH_TEXT) from error

    def to_page(self) -> Page:
        content = self.build()
        return Page(content.text, content.headings)


# Line separators other than \n, and non-ASCII spaces. Normalized to \n and space.
_LINE_SEPARATORS = re.compile(r"\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_SPACES = re.compile(r"[\xa0\u2000-\u200a\u202f\u205f]")
# pdfium replaces a hyphen and the line break after it with this mark. Both are restored, so that
# quotes match the text that other programs extract.
_LINE_HYPHEN = re.compile(r"[\x02\ufffe](\s|$)?")
# A soft hyphen is visible only at the end of a line.
_VISIBLE_SOFT_HYPHEN = re.compile(r"\xad(?=[ \t]*\n)")
# Presentation forms: ligatures such as fi and fl, and the four shapes of Arabic letters.
_PRESENTATION_FORMS = re.compile(r"[\ufb00-\ufb4f\ufb50-\ufdff\ufe70-\ufefc]+")
# Bullets of symbol fonts, which use private code points.
_BULLETS = re.compile(r"[\uf0b7\uf0a7\uf0d8\uf076\uf0fc]")
# Characters that are removed: NUL (it terminates strings in databases), other control characters
# (noise of broken fonts), lone surrogates (not characters), direction marks and zero-width spaces
# (invisible).
_UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069"
    r"\ud800-\udfff\ue000-\uf8ff\ufeff\ufff9-\ufffb\ufffe\uffff]"
)
_TRAILING_SPACES = re.compile(r"(?<![ \t])[ \t]++(?=\n)")
_MULTIPLE_BLANK_LINES = re.compile(r"\n{3,}")


def clean_page(page: Page) -> Page:
    """Return *page* with normalized text and adjusted heading positions.

    The result is stored. Its positions are final: chunks and citations refer to them.
    """
    length = len(page.text)
    edges = sorted({0, length, *(min(position, length) for position, _ in page.headings)})
    new_positions, parts, new_length = {0: 0}, [], 0
    for start, end in pairwise(edges):
        parts.append(_normalize_text(page.text[start:end]))
        new_length += len(parts[-1])
        new_positions[end] = new_length
    headings = [
        (new_positions[min(position, length)], normalize_title(title))
        for position, title in page.headings
    ]
    lines = [
        (left, top, right, bottom, turns, _normalize_text(text))
        for left, top, right, bottom, turns, text in page.lines
    ]
    return Page("".join(parts), headings, lines)


def normalize_title(text: str, max_length: int = 300) -> str:
    """Return *text* on one line, without unprintable characters, at most *max_length* long."""
    return " ".join(_normalize_text(text).split())[:max_length].strip()


def _normalize_text(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    text = _LINE_SEPARATORS.sub("\n", text)
    text = _LINE_HYPHEN.sub(lambda mark: "-" + (mark[1] or "\n"), text)
    text = _VISIBLE_SOFT_HYPHEN.sub("-", text)
    text = _SPACES.sub(" ", _BULLETS.sub("•", text))
    text = _PRESENTATION_FORMS.sub(lambda forms: normalize("NFKC", forms[0]), text)
    text = _UNPRINTABLE.sub("", normalize("NFC", text))
    return _MULTIPLE_BLANK_LINES.sub("\n\n", _TRAILING_SPACES.sub("", text))
