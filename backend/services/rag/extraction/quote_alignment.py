"""Align a quote of a page's stored text with the characters of the page in another order.

Both texts are compared without white space. Extraction reorders columns and table cells, so the
quote is divided into the longest parts that occur among the page's characters.
"""

from collections.abc import Iterator

# Characters before and after the quote that help to find the right one of several occurrences.
_CONTEXT = 60
_SEED_LENGTHS = (12, 6, 3, 1)
_MAX_CANDIDATES = 200


def count_signs(text: str) -> int:
    """Return the number of characters of *text* that are no white space."""
    return sum(not char.isspace() for char in text)


def align_quote(signs: str, drawn: str, first: int, last: int) -> list[int]:
    """Return the positions in *drawn* of the signs *first* to *last* that are found there."""
    positions: list[int] = []
    position, previous = max(0, first - _CONTEXT), -1
    end = min(len(signs), last + _CONTEXT)
    while position < last:
        match = _find_longest(signs, drawn, position, end, previous)
        if match is None:
            position += 1
            continue
        place, length = match
        positions += range(
            place + max(0, first - position), place + max(0, min(length, last - position))
        )
        position += length
        previous = place + length
    return positions


def _find_longest(
    signs: str, drawn: str, position: int, end: int, previous: int
) -> tuple[int, int] | None:
    """Return place and length of the longest part from *position* on that occurs in *drawn*.

    Of equally long ones, the one that continues at *previous* or is nearest to it is chosen; at
    the beginning, the one at the most similar relative place.
    """
    for seed_length in _SEED_LENGTHS:
        seed = signs[position : position + seed_length]
        if len(seed) < seed_length:
            continue
        candidates = [
            (_measure_match(signs, drawn, position, place, end), place)
            for place in _find_all(drawn, seed)
        ]
        if candidates:
            expected = previous if previous >= 0 else position * len(drawn) // max(1, len(signs))
            length, place = max(candidates, key=lambda item: (item[0], -abs(item[1] - expected)))
            return place, length
    return None


def _find_all(drawn: str, seed: str) -> Iterator[int]:
    place = drawn.find(seed)
    for _ in range(_MAX_CANDIDATES):
        if place < 0:
            return
        yield place
        place = drawn.find(seed, place + 1)


def _measure_match(signs: str, drawn: str, position: int, place: int, end: int) -> int:
    length, limit = 0, min(end - position, len(drawn) - place)
    while length < limit and signs[position + length] == drawn[place + length]:
        length += 1
    return length
