"""Find the statements of a text: the sentences, list items and table rows that can answer.

Headings are no statements. They belong to the statements below them.
"""

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from backend.ai.text.headings import HeadingKind, classify_heading, strip_heading_marks
from backend.ai.text.sentences import MAX_SENTENCE_CHARS, Sentence, split_sentences
from backend.ai.text.tables import (
    are_adjacent,
    describe_row,
    is_delimiter_row,
    is_header_row,
    split_cells,
)

_LABEL = re.compile(r"\W{0,4}([^\W\d_][^:\uff1a.!?\n]{0,40})[:\uff1a](?=\D|$)")
# A first word that refers to the sentence before, in English, German, French, Spanish and Italian.
_PRONOUN = re.compile(
    r"\W{0,3}(?:it|its|he|his|she|her|they|their|this|these|that|those|er|sie|es|seine?|ihre?|diese[rs]?"
    r"|il|elle|ils|elles|son|sa|ses|leurs?|ce|cet|cette|él|ella|ellos|ellas|sus?|este|esta|egli|lui|lei"
    r"|esso|essa|suo|sua|questo|questa)\b",
    re.IGNORECASE,
)
_LETTER_OR_DIGIT = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence, list item or table row: *text* is `document[start:end]`.

    Attributes:
        heading: the heading above it, or "".
        previous: the sentence before it, if its first word refers to that, as "It" does; or "".
        columns: the names of a table row's columns; empty for other text and without a header.
        cells: the cells of a table row, or empty.
        is_possible_heading: it may be a heading that contains a number.
    """

    text: str
    start: int
    end: int
    heading: str = ""
    previous: str = ""
    columns: Sequence[str] = ()
    cells: Sequence[str] = ()
    is_possible_heading: bool = False

    @property
    def label(self) -> str:
        """The name of the value that the statement gives: "Phone" in "Phone: 0221 4455"; or ""."""
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
        titles: headings that are known, such as the title of the chunk's section.
        table_header: the header row of the table that the chunk continues.
    """
    sentences = split_sentences(text, max_chars)
    kinds = [_classify(sentence, titles) for sentence in sentences]
    if HeadingKind.NONE not in kinds:
        # A chunk of short lines, such as a list, has no headings.
        kinds = [HeadingKind.NONE] * len(kinds)
    return list(_iterate_statements(text, sentences, kinds, table_header))


def _classify(sentence: Sentence, titles: AbstractSet[str]) -> HeadingKind:
    if strip_heading_marks(sentence.text) in titles:
        return HeadingKind.CERTAIN
    return classify_heading(sentence.text)


def _iterate_statements(
    text: str, sentences: Sequence[Sentence], kinds: Sequence[HeadingKind], table_header: str
) -> Iterator[Statement]:
    heading = previous = ""
    columns: Sequence[str] = split_cells(table_header) if table_header else ()
    # The end of the last table row: the next line belongs to the same table.
    row_end = 0 if table_header else None
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
            columns = _read_columns(text, sentences[index : index + 2])
            if columns:
                row_end = sentence.end
                continue
        if not is_delimiter_row(sentence.text) and sentence.text != table_header:
            # Empty cells at the start of the row are outside of the sentence.
            line_start = text.rfind("\n", 0, sentence.start) + 1
            cells = split_cells(text[line_start : sentence.end])
            yield Statement(*position, heading, columns=columns, cells=cells)
        row_end = sentence.end


def _read_columns(text: str, rows: Sequence[Sentence]) -> Sequence[str]:
    """Return the cells of the first of two *rows* if it is the header of a table, or else none."""
    if len(rows) < 2 or not rows[1].is_row or not are_adjacent(text, rows[0].end, rows[1].start):
        return ()
    return split_cells(rows[0].text) if is_header_row(rows[0].text, rows[1].text) else ()
