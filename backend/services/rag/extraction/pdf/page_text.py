"""Extract the text of a PDF page in reading order, from pdfium's characters and their boxes."""

import ctypes
import math
import re
from collections.abc import Iterator

import pypdfium2
import pypdfium2.raw as pdfium

from backend.services.rag.extraction.pdf.rulings import read_ruling_lines
from backend.services.rag.extraction.reading_order import MAX_WORD_GAP, join_in_reading_order
from backend.services.rag.extraction.table_grids import TableGrid, find_grids
from backend.services.rag.extraction.text_fragments import TextFragment

# pdfium replaces a hyphen at the end of a line with one of these and joins the next line.
_HYPHENS = "\x02\ufffe"
_WORD = re.compile(rf"[^\s{_HYPHENS}]+[{_HYPHENS}]?|[{_HYPHENS}]")
_RTL_LETTERS = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc"
# pdfium misplaces spaces in bidirectional lines, so a word also ends where the direction changes.
_WORD_IN_BIDI_LINE = re.compile(
    rf"[{_RTL_LETTERS}]+|[^\s{_HYPHENS}{_RTL_LETTERS}]+[{_HYPHENS}]?|[{_HYPHENS}]"
)
_RTL_LETTER = re.compile(f"[{_RTL_LETTERS}]")
# Arabic lam-alef is one glyph for two letters. pdfium returns the letters in visual order.
_LAM_ALEF = re.compile("[\u0622\u0623\u0625\u0627]\u0644")
_LINE = re.compile(r"[^\r\n]+")
_HYPHEN_TABLE = dict.fromkeys(map(ord, _HYPHENS), "-")
# Programs that save a TeX page again lose the glyph names of its ligatures: ff becomes an arrow,
# and ffi has no name at all.
_FF_LIGATURE = re.compile("(?<=[a-z])\u21b5(?=[a-z])")
_FFI_LIGATURE = re.compile(r"(?<=[a-z])\x1a(?=[a-z])")
_UNNAMED_GLYPH = re.compile(r"\x1a")
# Maximum gap between touching words, in line heights.
_MAX_TOUCHING_GAP = 0.1
# Minimum overlap of two letters of one glyph, in points. Boxes of neighbours may overlap slightly.
_MIN_GLYPH_OVERLAP = 0.5
# Minimum vertical overlap of words on one line, in line heights.
_MIN_LINE_OVERLAP = 0.3


# Left, bottom, right, top in PDF coordinates; after rotation left, top, right, bottom.
_Box = tuple[float, float, float, float]
_NO_BOX: _Box = (0.0, 0.0, 0.0, 0.0)


def extract_page_text(page: pypdfium2.PdfPage) -> str:
    """Return the text of *page*. Rotated text comes last, unless most of the text is rotated."""
    tables = _Tables(page)
    view = page.get_textpage()
    try:
        by_direction: dict[int, list[TextFragment]] = {}
        for quarter_turns, fragment in _iterate_fragments(view.raw, tables):
            by_direction.setdefault(quarter_turns, []).append(fragment)
    finally:
        view.close()
    longest_first = sorted(
        by_direction.items(),
        key=lambda item: -sum(len(fragment.text) for fragment in item[1]),
    )
    return "\n\n".join(
        join_in_reading_order(fragments, tables.get_grids(turns))
        for turns, fragments in longest_first
    )


class _Tables:
    """The tables with ruling lines of a page, for each direction of text."""

    def __init__(self, page: pypdfium2.PdfPage) -> None:
        self._lines = read_ruling_lines(page)
        self._grids: dict[int, list[TableGrid]] = {}

    def get_grids(self, turns: int) -> list[TableGrid]:
        if turns not in self._grids:
            lines = self._lines.rotate(turns)
            self._grids[turns] = find_grids(lines.horizontal, lines.vertical)
        return self._grids[turns]


def _iterate_fragments(
    view: pdfium.FPDF_TEXTPAGE, tables: _Tables
) -> Iterator[tuple[int, TextFragment]]:
    """Yield fragments of lines in drawing order.

    Yields the number of quarter turns of the text and the fragment, rotated upright.
    """
    text, char_indexes = _read_characters(view)
    text = _replace_false_hyphens(text, char_indexes, view)
    for number, is_bidi, words in _iterate_lines(text):
        turns = _read_turns(view, _char_range(words[0], char_indexes)[0])
        joined, box, end = "", None, 0
        last_box = _NO_BOX
        grids = tables.get_grids(turns)
        for word in words:
            first, last = _char_range(word, char_indexes)
            word_box = _rotate_box(
                _union(read_char_box(view, first), read_char_box(view, last)), turns
            )
            word_text = (
                _fix_lam_alef(word, view, char_indexes) if is_bidi else _clean_word(word.group())
            )
            if box is not None and (
                _is_separate(box, word_box) or (grids and _divide(grids, last_box, word_box))
            ):
                yield turns, TextFragment(*box, joined, number)
                joined, box = "", None
            if box is None:
                joined, box = word_text, word_box
            else:
                touching = _gap(box, word_box) < _MAX_TOUCHING_GAP * (box[3] - box[1])
                has_space = not touching if is_bidi else word.start() > end
                joined += f" {word_text}" if has_space else word_text
                box = _union(box, word_box)
            last_box = word_box
            end = word.end()
            if word.group()[-1] in _HYPHENS:
                # The rest of the hyphenated word is at the start of another line.
                yield turns, TextFragment(*box, joined, number)
                joined, box = "", None
        if box is not None:
            yield turns, TextFragment(*box, joined, number)


def iterate_words(view: pdfium.FPDF_TEXTPAGE) -> Iterator[tuple[str, int, int, int]]:
    """Yield the words of the page in drawing order, as `extract_page_text` returns them.

    Yields the text, pdfium's indexes of the first and the last character, and the number of quarter
    turns of the text.
    """
    text, char_indexes = _read_characters(view)
    text = _replace_false_hyphens(text, char_indexes, view)
    for _, is_bidi, words in _iterate_lines(text):
        turns = _read_turns(view, _char_range(words[0], char_indexes)[0])
        for word in words:
            word_text = (
                _fix_lam_alef(word, view, char_indexes) if is_bidi else _clean_word(word.group())
            )
            yield word_text, *_char_range(word, char_indexes), turns


def _iterate_lines(text: str) -> Iterator[tuple[int, bool, list[re.Match[str]]]]:
    """Yield the number of each line with words, whether it is bidirectional, and its words."""
    for number, line in enumerate(_LINE.finditer(text)):
        is_bidi = _RTL_LETTER.search(text, *line.span()) is not None
        pattern = _WORD_IN_BIDI_LINE if is_bidi else _WORD
        if words := list(pattern.finditer(text, *line.span())):
            yield number, is_bidi, words


def _fix_lam_alef(
    word: re.Match[str], view: pdfium.FPDF_TEXTPAGE, char_indexes: list[int] | None
) -> str:
    """Return the word with the letters of lam-alef glyphs in logical order."""
    text = _clean_word(word.group())
    for pair in _LAM_ALEF.finditer(text):
        start = word.start() + pair.start()
        one, two = (start, start + 1) if char_indexes is None else char_indexes[start : start + 2]
        if _gap(read_char_box(view, one), read_char_box(view, two)) < -_MIN_GLYPH_OVERLAP:
            text = text[: pair.start()] + pair.group()[::-1] + text[pair.end() :]
    return text


def _clean_word(word: str) -> str:
    word = word.translate(_HYPHEN_TABLE)
    word = _FFI_LIGATURE.sub("ffi", _FF_LIGATURE.sub("ff", word))
    return _UNNAMED_GLYPH.sub("", word)


def _replace_false_hyphens(
    text: str, char_indexes: list[int] | None, view: pdfium.FPDF_TEXTPAGE
) -> str:
    """Replace hyphen marks that are not hyphens: pdfium uses them for unnamed glyphs too."""
    for mark in re.finditer(f"[{_HYPHENS}]", text):
        index = mark.start() if char_indexes is None else char_indexes[mark.start()]
        if pdfium.FPDFText_IsHyphen(view, index) != 1:
            text = f"{text[: mark.start()]}\x1a{text[mark.end() :]}"
    return text


def _read_characters(view: pdfium.FPDF_TEXTPAGE) -> tuple[str, list[int] | None]:
    """Return the text of the page, and pdfium's index of each character.

    The indexes are None if they equal the positions in the text.
    """
    count = pdfium.FPDFText_CountChars(view)
    if count <= 0:
        return "", None
    buffer = (ctypes.c_ushort * (count + 1))()
    written = pdfium.FPDFText_GetText(view, 0, count, buffer)
    text = bytes(buffer)[: 2 * max(0, written - 1)].decode("utf-16-le", "replace")
    if len(text) == count:
        return text, None
    codes = [pdfium.FPDFText_GetUnicode(view, index) for index in range(count)]
    valid = [index for index, code in enumerate(codes) if 0 < code < 0x110000]
    return "".join(chr(codes[index]) for index in valid), valid


def _char_range(word: re.Match[str], char_indexes: list[int] | None) -> tuple[int, int]:
    """Return pdfium's indexes of the first and last character of *word*."""
    first, last = word.start(), word.end() - 1
    return (first, last) if char_indexes is None else (char_indexes[first], char_indexes[last])


def read_char_box(view: pdfium.FPDF_TEXTPAGE, index: int) -> _Box:
    """Return the box of the character at *index* in PDF coordinates."""
    box = pdfium.FS_RECTF()
    pdfium.FPDFText_GetLooseCharBox(view, index, ctypes.byref(box))
    return box.left, box.bottom, box.right, box.top


def _read_turns(view: pdfium.FPDF_TEXTPAGE, index: int) -> int:
    """Return the direction of the character at *index* as clockwise quarter turns from 0 to 3."""
    angle = pdfium.FPDFText_GetCharAngle(view, index)
    return round(angle / (math.pi / 2)) % 4 if angle >= 0 else 0


def _rotate_box(box: _Box, turns: int) -> _Box:
    """Return *box* with y pointing down and its text running from left to right."""
    left, bottom, right, top = box
    if turns == 0:
        return left, -top, right, -bottom
    if turns == 1:
        return -top, -right, -bottom, -left
    if turns == 2:
        return -right, bottom, -left, top
    return bottom, left, top, right


def _union(one: _Box, other: _Box) -> _Box:
    # Conditions instead of min() and max(): this is called for each word.
    left, top, right, bottom = one
    return (
        left if left <= other[0] else other[0],
        top if top <= other[1] else other[1],
        right if right >= other[2] else other[2],
        bottom if bottom >= other[3] else other[3],
    )


def _gap(one: _Box, other: _Box) -> float:
    """Return the horizontal distance of two boxes; negative if they overlap."""
    return max(other[0] - one[2], one[0] - other[2])


def _divide(grids: list[TableGrid], before: _Box, after: _Box) -> bool:
    """Return whether two words of a line are in different cells of a table."""
    x1, x2 = (before[0] + before[2]) / 2, (after[0] + after[2]) / 2
    y = (after[1] + after[3]) / 2
    return any(
        grid.has_border_between(x1, x2) and grid.find_cell(x1, y) != grid.find_cell(x2, y)
        for grid in grids
    )


def _is_separate(before: _Box, after: _Box) -> bool:
    """Check that two words are too far apart for one fragment, or on different lines."""
    height = min(before[3] - before[1], after[3] - after[1])
    overlap = min(before[3], after[3]) - max(before[1], after[1])
    return _gap(before, after) > MAX_WORD_GAP * height or overlap < _MIN_LINE_OVERLAP * height
