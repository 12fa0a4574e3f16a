"""The text of a PDF's page in reading order, from pdfium's characters and their boxes."""

import ctypes
import math
import re
from collections.abc import Iterator

import pypdfium2
import pypdfium2.raw as pdfium

from backend.services.rag.clients.formats.layout import WORD_GAP, Piece, in_reading_order

# pdfium's mark for a hyphen at the end of a line, behind which it joins the next line.
_HYPHENS = "\x02\ufffe"
_WORD = re.compile(rf"[^\s{_HYPHENS}]+[{_HYPHENS}]?|[{_HYPHENS}]")
_FROM_RIGHT = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc"
# In lines of both directions pdfium misplaces blanks, so words end where the direction turns.
_ONE_WAY = re.compile(rf"[{_FROM_RIGHT}]+|[^\s{_HYPHENS}{_FROM_RIGHT}]+[{_HYPHENS}]?|[{_HYPHENS}]")
_HAS_RTL = re.compile(f"[{_FROM_RIGHT}]")
# One glyph that stands for two letters; pdfium gives them in the order of lines from the left.
_LAM_ALEF = re.compile("[\u0622\u0623\u0625\u0627]\u0644")
_LINE = re.compile(r"[^\r\n]+")
_HYPHEN = dict.fromkeys(map(ord, _HYPHENS), "-")
# Programs that save TeX's pages anew lose the names of its ligatures: ff comes as an arrow, ffi
# without any name.
_DOUBLE = re.compile("(?<=[a-z])\u21b5(?=[a-z])")
_TRIPLE = re.compile(r"(?<=[a-z])\x1a(?=[a-z])")
_UNNAMED = re.compile(r"\x1a")
# In heights of a line.
_TOUCHING = 0.1
# In points: boxes of neighbours may overlap by a hair.
_SAME_GLYPH = 0.5


def text_of(page: pypdfium2.PdfPage) -> str:
    """The page's text; what is written in another direction than most comes last."""
    view = page.get_textpage()
    try:
        directions: dict[int, list[Piece]] = {}
        for turn, piece in _pieces(view.raw):
            directions.setdefault(turn, []).append(piece)
    finally:
        view.close()
    by_size = sorted(
        directions.values(), key=lambda pieces: -sum(len(piece.text) for piece in pieces)
    )
    return "\n\n".join(in_reading_order(pieces) for pieces in by_size)


_Box = tuple[float, float, float, float]


def _pieces(view: pdfium.FPDF_TEXTPAGE) -> Iterator[tuple[int, Piece]]:
    """Pieces of lines in the order they were drawn, each with the quarter turns it is written in
    and turned back by them."""
    text, places = _characters(view)
    text = _without_false_hyphens(text, places, view)
    for number, line in enumerate(_LINE.finditer(text)):
        turned = _HAS_RTL.search(text, *line.span()) is not None
        words = list((_ONE_WAY if turned else _WORD).finditer(text, *line.span()))
        if not words:
            continue
        turn = _turn(pdfium.FPDFText_GetCharAngle(view, _span(words[0], places)[0]))
        joined, box, end = "", None, 0
        for word in words:
            first, last = _span(word, places)
            found = _turned(_united(_box(view, first), _box(view, last)), turn)
            shown = _letters(word, view, places) if turned else _shown(word.group())
            if box is not None and _apart(box, found):
                yield turn, Piece(*box, joined, number)
                joined, box = "", None
            if box is None:
                joined, box = shown, found
            else:
                touching = _gap(box, found) < _TOUCHING * (box[3] - box[1])
                blank = not touching if turned else word.start() > end
                joined += f" {shown}" if blank else shown
                box = _united(box, found)
            end = word.end()
            if word.group()[-1] in _HYPHENS:
                # The rest of the word stands at the start of another line.
                yield turn, Piece(*box, joined, number)
                joined, box = "", None
        if box is not None:
            yield turn, Piece(*box, joined, number)


def _letters(word: re.Match[str], view: pdfium.FPDF_TEXTPAGE, places: list[int] | None) -> str:
    """The word, where letters of one glyph stand the wrong way round put right."""
    text = _shown(word.group())
    for pair in _LAM_ALEF.finditer(text):
        start = word.start() + pair.start()
        one, two = (start, start + 1) if places is None else places[start : start + 2]
        if _gap(_box(view, one), _box(view, two)) < -_SAME_GLYPH:
            text = text[: pair.start()] + pair.group()[::-1] + text[pair.end() :]
    return text


def _shown(word: str) -> str:
    return _UNNAMED.sub("", _TRIPLE.sub("ffi", _DOUBLE.sub("ff", word.translate(_HYPHEN))))


def _without_false_hyphens(text: str, places: list[int] | None, view: pdfium.FPDF_TEXTPAGE) -> str:
    """*text* with the mark of a hyphen kept for hyphens; pdfium gives it to unnamed glyphs too."""
    for mark in re.finditer(f"[{_HYPHENS}]", text):
        place = mark.start() if places is None else places[mark.start()]
        if pdfium.FPDFText_IsHyphen(view, place) != 1:
            text = f"{text[: mark.start()]}\x1a{text[mark.end() :]}"
    return text


def _characters(view: pdfium.FPDF_TEXTPAGE) -> tuple[str, list[int] | None]:
    """The page's characters, and pdfium's number of each where that is not its place."""
    count = pdfium.FPDFText_CountChars(view)
    if count <= 0:
        return "", None
    buffer = (ctypes.c_ushort * (count + 1))()
    written = pdfium.FPDFText_GetText(view, 0, count, buffer)
    text = bytes(buffer)[: 2 * max(0, written - 1)].decode("utf-16-le", "replace")
    if len(text) == count:
        return text, None
    codes = [pdfium.FPDFText_GetUnicode(view, place) for place in range(count)]
    kept = [place for place, code in enumerate(codes) if 0 < code < 0x110000]
    return "".join(chr(codes[place]) for place in kept), kept


def _span(word: re.Match[str], places: list[int] | None) -> tuple[int, int]:
    first, last = word.start(), word.end() - 1
    return (first, last) if places is None else (places[first], places[last])


def _box(view: pdfium.FPDF_TEXTPAGE, place: int) -> _Box:
    box = pdfium.FS_RECTF()
    pdfium.FPDFText_GetLooseCharBox(view, place, ctypes.byref(box))
    return box.left, box.bottom, box.right, box.top


def _turn(angle: float) -> int:
    """Quarter turns, clockwise as pdfium gives them."""
    return round(angle / (math.pi / 2)) % 4 if angle >= 0 else 0


def _turned(box: _Box, turn: int) -> _Box:
    """*box* with y downwards and its text from left to right."""
    left, bottom, right, top = box
    if turn == 0:
        return left, -top, right, -bottom
    if turn == 1:
        return -top, -right, -bottom, -left
    if turn == 2:
        return -right, bottom, -left, top
    return bottom, left, top, right


def _united(one: _Box, other: _Box) -> _Box:
    return (
        min(one[0], other[0]),
        min(one[1], other[1]),
        max(one[2], other[2]),
        max(one[3], other[3]),
    )


def _gap(one: _Box, other: _Box) -> float:
    """How far one stands from the other sideways; negative where they overlap."""
    return max(other[0] - one[2], one[0] - other[2])


def _apart(before: _Box, after: _Box) -> bool:
    height = min(before[3] - before[1], after[3] - after[1])
    level = min(before[3], after[3]) - max(before[1], after[1])
    return _gap(before, after) > WORD_GAP * height or level < 0.3 * height
