"""Remove the marks of Markdown that a part of a text would contain without their partner.

A sentence can begin or end within an emphasis, a code span or a link. Delimiters are recognised as
in CommonMark, section 6.2, but never within a word or number: `2*3` and `snake_case` stay.
"""

import re
from typing import Final

_DELIMITER = re.compile(r"\\.|\*{1,3}|_{1,3}|~~|`+")
_LINK = re.compile(r"\[([^\[\]]{1,300})\]\(([^()\s]{0,500})\)")
_PARAGRAPH_BREAK: Final = "\n\n"
# Delimiters further away than this, in characters, belong to another sentence.
_MAX_CONTEXT_CHARS: Final = 1_000


def balance_marks(text: str, start: int, end: int) -> str:
    """Return `text[start:end]` without marks whose opening or closing mark is outside."""
    first, last = _find_paragraph(text, start, end)
    removed: list[tuple[int, int]] = []
    pairs, single = _pair_delimiters(text, first, last)
    for opener, closer in pairs:
        if (start <= opener[0] < end) != (start <= closer[0] < end):
            removed += opener, closer
    # *text* is a part of a document, so the partner of a delimiter can be outside of it.
    if first == 0 or last == len(text):
        removed += [span for span in single if span[1] - span[0] > 1]
    for link in _LINK.finditer(text, first, last):
        if not start <= link.start() < link.end() <= end:
            removed += (link.start(), link.start(1)), (link.end(1), link.end())
    positions = {position for span in removed for position in range(*span)}
    return "".join(text[index] for index in range(start, end) if index not in positions)


def _find_paragraph(text: str, start: int, end: int) -> tuple[int, int]:
    floor, ceiling = max(0, start - _MAX_CONTEXT_CHARS), end + _MAX_CONTEXT_CHARS
    first = text.rfind(_PARAGRAPH_BREAK, floor, start)
    last = text.find(_PARAGRAPH_BREAK, end, ceiling)
    return (first if first >= 0 else floor), (last if last >= 0 else min(len(text), ceiling))


def _pair_delimiters(
    text: str, first: int, last: int
) -> tuple[list[tuple[tuple[int, int], tuple[int, int]]], list[tuple[int, int]]]:
    """Return the pairs of delimiters in `text[first:last]`, and those without a partner."""
    pairs: list[tuple[tuple[int, int], tuple[int, int]]] = []
    open_marks: list[tuple[str, tuple[int, int]]] = []
    single: list[tuple[int, int]] = []
    code: tuple[str, tuple[int, int]] | None = None
    for match in _DELIMITER.finditer(text, first, last):
        mark, span = match.group(), match.span()
        if mark[0] == "\\":
            continue
        if mark[0] == "`":
            if code is None:
                code = mark, span
            elif code[0] == mark:
                pairs.append((code[1], span))
                code = None
            continue
        if code is not None:
            continue
        before, after = text[span[0] - 1 : span[0]], text[span[1] : span[1] + 1]
        can_open = not before.isalnum() and bool(after.strip())
        can_close = bool(before.strip()) and not after.isalnum()
        partner = next(
            (n for n in reversed(range(len(open_marks))) if open_marks[n][0] == mark), None
        )
        if can_close and partner is not None:
            pairs.append((open_marks[partner][1], span))
            single += [opener for _, opener in open_marks[partner + 1 :]]
            del open_marks[partner:]
        elif can_open:
            open_marks.append((mark, span))
        elif can_close:
            single.append(span)
    return pairs, single + [opener for _, opener in open_marks]
