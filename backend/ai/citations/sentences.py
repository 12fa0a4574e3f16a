"""Cut text into sentences that know where they stand."""

import re
from dataclasses import dataclass
from typing import Final

LONGEST: Final = 400

_LIST_NUMBER = re.compile(r"\s*\d{1,3}\.")
_LONGEST_HEADING: Final = 80

# A sentence ends at its mark and a blank, at an empty line, where a list item begins, or at the
# end of a line if that is a heading or a table's row: files wrap sentences at any word.
_END = re.compile(
    r"(?P<mark>[.!?…]+[\"'\u201d\u2019)\]]*(?=\s))|\n\s*\n|\n(?=\s*(?:[-*•]|\d{1,3}[.)])\s)|"
    r"(?P<line>\n)(?=\s*[\"\u201c]?(?P<next>\w))"
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[A-Za-z]|Dr|Mr|Mrs|Ms|Prof|St|Nos?|Figs?|Eq|Sec|Art|vs|cf|approx|e\.g|"
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
        piece = text[begin : match.end()]
        if match["mark"]:
            ends = ends_sentence(piece)
        else:
            ends = not match["line"] or (
                "\t" in piece or (match["next"].isupper() and is_heading(piece))
            )
        if ends:
            found += _trimmed(text, begin, match.end())
            begin = match.end()
    return found + _trimmed(text, begin, len(text))


def ends_sentence(text: str) -> bool:
    """Whether the mark that *text* ends with closes a sentence, and not just "Dr." or "3."."""
    return not _LIST_NUMBER.fullmatch(text) and _ABBREVIATION.search(text[-12:]) is None


def is_heading(line: str) -> bool:
    """Whether *line* has the capitals of a title, and no mark within or behind it."""
    line = line.strip()
    if not line or len(line) > _LONGEST_HEADING or re.search(r"[:;.!?…]$|: |\t", line):
        return False
    words = re.findall(r"[^\W\d_]{4,}", line)
    return bool(words) and all(word[0].isupper() for word in words)


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
