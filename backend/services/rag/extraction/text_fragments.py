"""Fragments of lines with their positions, as pdfium and OCR return them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

# A row of words with wide spaces fills at least this fraction of its width, and has at least this
# many words; otherwise it is a table row.
_MIN_PROSE_FILL = 0.85
_MIN_PROSE_WORDS = 7
# Two letters, or one Chinese, Japanese or Korean character.
_WORD = re.compile(r"[^\W\d_]{2}|[\u2e80-\u9fff\uac00-\ud7a3]")


@dataclass(frozen=True, slots=True)
class TextFragment:
    """Adjacent words of one line. y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float
    text: str
    # Number of the fragment's line, in the order in which the file draws the lines.
    line: int = 0
    # True for a table cell, which is separated from other cells by a tab.
    is_cell: bool = False

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2


def group_rows(fragments: Sequence[TextFragment]) -> list[list[TextFragment]]:
    """Group fragments that are side by side into rows from top to bottom."""
    rows: list[tuple[TextFragment, list[TextFragment]]] = []
    for fragment in sorted(fragments, key=lambda fragment: fragment.middle):
        # Compare with the longest fragment of the row: drop caps and footnote marks differ in size.
        for index in range(len(rows) - 1, max(-1, len(rows) - 4), -1):
            reference, row = rows[index]
            overlap = min(fragment.bottom, reference.bottom) - max(fragment.top, reference.top)
            if overlap > 0.5 * min(fragment.height, reference.height):
                row.append(fragment)
                if len(fragment.text) > len(reference.text):
                    rows[index] = (fragment, row)
                break
        else:
            rows.append((fragment, [fragment]))
    return [row for _, row in rows]


def is_unspaced(text: str) -> bool:
    """Return whether *text* begins in a script that has no spaces between words."""
    return "\u2e80" <= text[:1] <= "\u9fff" or "\uff00" <= text[:1] <= "\uff60"


def is_prose_row(row: Sequence[TextFragment]) -> bool:
    """Check that the row is a line of words with wide spaces rather than a table row."""
    width = max(fragment.right for fragment in row) - min(fragment.left for fragment in row)
    filled = sum(fragment.right - fragment.left for fragment in row)
    words = sum(len(fragment.text.split()) for fragment in row)
    return filled > _MIN_PROSE_FILL * width and words >= _MIN_PROSE_WORDS


def has_words(text: str) -> bool:
    """Return whether *text* has a word rather than numbers and units: only words are wrapped."""
    return _WORD.search(text) is not None


def get_first_word_width(fragment: TextFragment) -> float:
    """Return the approximate width of the first word of *fragment*."""
    text = fragment.text
    length = 1 if is_unspaced(text) else len(text.split(maxsplit=1)[0])
    return length / len(text) * (fragment.right - fragment.left)


def join_fragments(above: TextFragment, below: TextFragment) -> TextFragment:
    """Join two lines of a cell to one fragment.

    A word that is divided by a hyphen keeps the hyphen.
    """
    before, after = above.text, below.text
    is_hyphenated = before.endswith("-") and before[-2:-1].isalpha() and after[:1].islower()
    is_joined = is_hyphenated or (is_unspaced(before[-1:]) and is_unspaced(after))
    return replace(
        above,
        left=min(above.left, below.left),
        top=min(above.top, below.top),
        right=max(above.right, below.right),
        bottom=max(above.bottom, below.bottom),
        text=before + ("" if is_joined else " ") + after,
    )
