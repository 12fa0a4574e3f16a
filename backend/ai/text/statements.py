"""Find the statements of a text: sentences, list items and table rows that can be answers.

Headings are not statements. Each statement has the heading above it.
"""

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from backend.ai.text.headings import (
    HeadingKind,
    classify_heading,
    is_marked_heading,
    strip_heading_marks,
)
from backend.ai.text.sentences import MAX_SENTENCE_CHARS, Sentence, split_sentences
from backend.ai.text.tables import (
    are_adjacent,
    describe_row,
    is_delimiter_row,
    is_header_row,
    split_cells,
)

_LABEL = re.compile(r"\W{0,4}([^\W\d_][^:\uff1a.!?\n]{0,40})[:\uff1a](?=\D|$)")
# A first word that refers to the previous sentence, in English, German, French, Spanish and
# Italian.
_PRONOUN = re.compile(
    r"\W{0,3}(?:it|its|he|his|she|her|they|their|this|these|that|those|er|sie|es|seine?|ihre?|diese[rs]?"
    r"|il|elle|ils|elles|son|sa|ses|leurs?|ce|cet|cette|él|ella|ellos|ellas|sus?|este|esta|egli|lui|lei"
    r"|esso|essa|suo|sua|questo|questa)\b",
    re.IGNORECASE,
)
_LETTER_OR_DIGIT = re.compile(r"[^\W_]")
_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence, list item or table row: *text* is `document[start:end]`.

    Attributes:
        heading: the heading above it, or "".
        previous: the sentence before it, if the first word of the statement refers to that
            sentence, as "It" does; or "".
        columns: the names of a table row's columns; empty for other text and without a header.
        cells: the cells of a table row, or empty.
        first_row_start: for a row of two cells without columns, the start of the first row of its
            table, which may be the header.
        is_possible_heading: it may be a heading that contains a number.
    """

    text: str
    start: int
    end: int
    heading: str = ""
    previous: str = ""
    columns: Sequence[str] = ()
    cells: Sequence[str] = ()
    first_row_start: int | None = None
    is_possible_heading: bool = False

    @property
    def label(self) -> str:
        """The name of the stated value, such as "Phone" in "Phone: 0221 4455", or ""."""
        if self.cells:
            return self.cells[0] if len(self.cells) == 2 and not self.columns else ""
        match = _LABEL.match(self.text)
        return match[1] if match else ""

    @property
    def description(self) -> str:
        """The text; for a table row its cells with the names of their columns."""
        return describe_row(self.cells, self.columns) if self.cells else self.text

    @property
    def text_in_context(self) -> str:
        """The description after the heading above it and the sentence that it refers to."""
        text = f"{self.previous} {self.description}" if self.previous else self.description
        return f"{self.heading}: {text}" if self.heading else text


def find_statements(
    text: str,
    max_chars: int = MAX_SENTENCE_CHARS,
    *,
    titles: AbstractSet[str] = frozenset(),
    table_header: str = "",
) -> list[Statement]:
    """Return the statements of *text*, the text of a chunk, in order.

    Args:
        max_chars: longer sentences are divided.
        titles: texts that always count as headings, such as the title of the chunk's section.
        table_header: the header row of the table that the chunk continues.
    """
    sentences = split_sentences(text, max_chars)
    kinds = _classify_sentences(sentences, titles)
    return list(_iterate_statements(text, sentences, kinds, table_header))


def _classify_sentences(
    sentences: Sequence[Sentence], titles: AbstractSet[str]
) -> list[HeadingKind]:
    """Return for each sentence whether it is a heading.

    If a section below a marked heading contains no sentence, its lines that look like headings are
    not headings but its content, such as the value "Free of charge" or the items of a list.
    """
    marked = [_is_marked_heading(sentence.text, titles) for sentence in sentences]
    if all(marked):
        return [HeadingKind.NONE] * len(sentences)
    kinds: list[HeadingKind] = []
    for is_marked, group in groupby(zip(sentences, marked, strict=True), key=itemgetter(1)):
        section = [sentence for sentence, _ in group]
        if is_marked:
            kinds += [HeadingKind.CERTAIN] * len(section)
            continue
        section_kinds = [
            HeadingKind.NONE if sentence.is_row else classify_heading(sentence.text)
            for sentence in section
        ]
        is_before_headings = not kinds and len(section) < len(sentences)
        if HeadingKind.NONE not in section_kinds and not is_before_headings:
            texts_below = [sentence.text for sentence in section[1:]]
            section_kinds = [
                HeadingKind.CERTAIN if _names_value(kind, below) else HeadingKind.NONE
                for kind, below in zip(section_kinds, [*texts_below, ""], strict=True)
            ]
        kinds += section_kinds
    return kinds


def _is_marked_heading(text: str, titles: AbstractSet[str]) -> bool:
    return is_marked_heading(text) or strip_heading_marks(text) in titles


def _names_value(kind: HeadingKind, text_below: str) -> bool:
    """Return True if a line names the value in the line below, which has digits and no letters."""
    is_value = bool(_LETTER_OR_DIGIT.search(text_below)) and not _LETTER.search(text_below)
    return kind is HeadingKind.CERTAIN and is_value


def _iterate_statements(
    text: str, sentences: Sequence[Sentence], kinds: Sequence[HeadingKind], table_header: str
) -> Iterator[Statement]:
    heading = previous = ""
    columns: Sequence[str] = split_cells(table_header) if table_header else ()
    # The end of the last table row. A row in the next line belongs to the same table.
    row_end = 0 if table_header else None
    first_row_start = 0
    for index, (sentence, kind) in enumerate(zip(sentences, kinds, strict=True)):
        position = sentence.text, sentence.start, sentence.end
        if not sentence.is_row:
            row_end = None
            if kind is HeadingKind.CERTAIN:
                heading, previous = strip_heading_marks(sentence.text), ""
            elif _LETTER_OR_DIGIT.search(sentence.text):
                is_possible = kind is HeadingKind.POSSIBLE
                before = previous if _PRONOUN.match(sentence.text) else ""
                yield Statement(*position, heading, before, is_possible_heading=is_possible)
                heading = sentence.text if is_possible else heading
                previous = before or sentence.text
            continue
        if row_end is None or not are_adjacent(text, row_end, sentence.start):
            first_row_start = sentence.start
            columns = _read_columns(text, sentences[index : index + 2])
            if columns:
                row_end = sentence.end
                continue
        if not is_delimiter_row(sentence.text) and sentence.text != table_header:
            # Empty cells at the start of the row are outside of the sentence.
            line_start = text.rfind("\n", 0, sentence.start) + 1
            cells = split_cells(text[line_start : sentence.end])
            may_have_header = len(cells) == 2 and not columns
            yield Statement(
                *position,
                heading,
                columns=columns,
                cells=cells,
                first_row_start=first_row_start if may_have_header else None,
            )
        row_end = sentence.end


def _read_columns(text: str, rows: Sequence[Sentence]) -> Sequence[str]:
    """Return the cells of the first of two *rows* if it is the header of a table, or else none."""
    if len(rows) < 2 or not rows[1].is_row or not are_adjacent(text, rows[0].end, rows[1].start):
        return ()
    return split_cells(rows[0].text) if is_header_row(rows[0].text, rows[1].text) else ()
