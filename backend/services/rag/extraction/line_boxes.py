"""Find the boxes of a quote on a scanned page, from the lines that OCR recognized."""

from collections.abc import Sequence
from typing import Any

from backend.services.rag.extraction.quote_alignment import align_quote, count_signs

Box = tuple[float, float, float, float]


def find_line_boxes(
    lines: Sequence[Sequence[Any]], text: str, start: int, end: int
) -> tuple[list[Box], float]:
    """Return the boxes of the characters *start* to *end* of *text*, and their coverage.

    OCR returns the box of a line, so the part of a line is estimated from its number of characters.

    Args:
        lines: the lines of the page, as in `content.RecognizedLine`.
        text: the stored text of the page.
        start: position of the quote's first character in *text*.
        end: position after its last character.
    """
    signs = "".join(text.split())
    first, last = count_signs(text[:start]), count_signs(text[:end])
    if first == last:
        return [], 0.0
    # The line of each sign, and the sign's index in it.
    places = [
        (number, index)
        for number, line in enumerate(lines)
        for index in range(count_signs(line[5]))
    ]
    drawn = "".join("".join(line[5].split()) for line in lines)
    positions = align_quote(signs, drawn, first, last)
    parts: dict[int, list[int]] = {}
    for position in positions:
        number, index = places[position]
        parts.setdefault(number, []).append(index)
    boxes = [_get_part(lines[number], indexes) for number, indexes in parts.items()]
    return boxes, len(positions) / (last - first)


def _get_part(line: Sequence[Any], indexes: Sequence[int]) -> Box:
    left, top, right, bottom, turns, text = line
    length, width, height = count_signs(text), right - left, bottom - top
    start, end = min(indexes) / length, (max(indexes) + 1) / length
    if turns in (2, 3):  # the text runs to the left, or upwards
        start, end = 1 - end, 1 - start
    if turns in (1, 3):
        return left, top + start * height, right, top + end * height
    return left + start * width, top, left + end * width, bottom
