"""Cut text into sentences that know where they stand."""

import re
from dataclasses import dataclass
from typing import Final

LONGEST: Final = 400

# A sentence ends at its mark and a blank, or at an empty line, or where a list item begins.
_END = re.compile(r"[.!?…]+[\"'\u201d\u2019)\]]*(?=\s)|\n\s*\n|\n(?=\s*(?:[-*•]|\d{1,3}[.)])\s)")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[A-Za-z]|\d{1,2}|Dr|Mr|Mrs|Ms|Prof|St|Nos?|Figs?|Eq|Sec|Art|vs|cf|approx|e\.g|"
    r"i\.e|al|Inc|Ltd|Co|Corp|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|U\.S|U\.K|U\.N)\.$"
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A stretch of a text: `text == whole[start:end]`, without blanks at either end."""

    text: str
    start: int
    end: int


def sentences(text: str) -> list[Sentence]:
    """The sentences of *text* in order; none is longer than LONGEST."""
    found: list[Sentence] = []
    begin = 0
    for match in _END.finditer(text):
        if not ends_sentence(text[begin : match.end()]):
            continue
        found += _trimmed(text, begin, match.end())
        begin = match.end()
    return found + _trimmed(text, begin, len(text))


def ends_sentence(text: str) -> bool:
    """Whether the mark that *text* ends with closes a sentence, and not just "Dr." or "3."."""
    return _ABBREVIATION.search(text[-12:]) is None


def _trimmed(text: str, begin: int, end: int) -> list[Sentence]:
    while begin < end and text[begin].isspace():
        begin += 1
    while end > begin and text[end - 1].isspace():
        end -= 1
    pieces = []
    while end - begin > LONGEST:  # a table without a full stop must not become one quote
        cut = max(text.rfind("\n", begin, begin + LONGEST), text.rfind(" ", begin, begin + LONGEST))
        cut = cut if cut > begin else begin + LONGEST
        pieces += _trimmed(text, begin, cut)
        begin = cut
        while begin < end and text[begin].isspace():
            begin += 1
    if begin < end:
        pieces.append(Sentence(text[begin:end], begin, end))
    return pieces
