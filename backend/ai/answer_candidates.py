"""Find the statements of document chunks that may answer a question."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from backend.ai.answer_options import ExtractionOptions, detect_answer_language
from backend.ai.chunk_statements import AnalyzedStatement, AnswerChunk, ChunkT, analyze_chunk
from backend.ai.designations import (
    Designation,
    begins_with_another,
    contains_any,
    find_designations,
    names_another,
)
from backend.ai.term_coverage import is_named_in
from backend.ai.text.statements import Statement
from backend.ai.text.terms import extract_terms

CandidateChunkT = TypeVar("CandidateChunkT", bound=AnswerChunk, covariant=True)


@dataclass(frozen=True, slots=True)
class Candidate(Generic[CandidateChunkT]):
    """A statement of a chunk before scoring. *text* is the statement in context.

    *chunk_index* is the position of its chunk in the search hits, from 0.
    """

    chunk: CandidateChunkT
    chunk_index: int
    analyzed: AnalyzedStatement

    @property
    def text(self) -> str:
        return self.analyzed.text_in_context

    @property
    def statement(self) -> Statement:
        return self.analyzed.statement

    @property
    def position(self) -> tuple[int, int]:
        """Start and end of the statement in the document's text."""
        start = self.chunk.start
        return start + self.statement.start, start + self.statement.end


def find_candidates(
    question: str, chunks: Sequence[ChunkT], options: ExtractionOptions
) -> list[Candidate[ChunkT]]:
    """Return the statements of *chunks* that may answer *question*.

    A statement about another room, section or product than the one in the question is left out. If
    the chunks contain others only, nothing answers the question. A statement in two overlapping
    chunks is returned once, for the chunk that ranks higher.
    """
    language = detect_answer_language(question, chunks)
    question_terms = frozenset(extract_terms(question, language))
    # Words that `rewrite_follow_up` added are not the question's own.
    designations = find_designations(question.partition(" (")[0], language)
    candidates: dict[tuple[str, int, int], Candidate[ChunkT]] = {}
    names_others = False
    for index, chunk in enumerate(chunks):
        statements = analyze_chunk(chunk, options.max_sentence_chars, language).statements
        for analyzed in _read_headers(statements, question_terms, language):
            if _is_about_another(chunk, analyzed, designations, language):
                names_others = True
                continue
            candidate = Candidate(chunk, index, analyzed)
            candidates.setdefault((chunk.document_id, *candidate.position), candidate)
    if names_others and not any(_names_any(chunk, designations, language) for chunk in chunks):
        return []
    return list(candidates.values())


def _is_about_another(
    chunk: AnswerChunk,
    analyzed: AnalyzedStatement,
    designations: Mapping[str, AbstractSet[Designation]],
    language: str,
) -> bool:
    """Return True if a statement, in its context, has another designation than the question.

    A statement that begins with it, as "E34: …" does, is not about what its heading names.
    """
    context = f"{chunk.title}\n{analyzed.text_in_context}"
    return names_another(context, designations, language) or begins_with_another(
        analyzed.statement.text, designations, language
    )


def _names_any(
    chunk: AnswerChunk, designations: Mapping[str, AbstractSet[Designation]], language: str
) -> bool:
    text = "\n".join((chunk.title, *chunk.headings, chunk.section, chunk.table_header, chunk.text))
    return contains_any(text, designations, language)


def _read_headers(
    statements: Sequence[AnalyzedStatement], question_terms: AbstractSet[str], language: str
) -> Sequence[AnalyzedStatement]:
    """Return *statements* without header rows. The other rows of their tables get column names.

    The first row of a two-column table of text can be a header, or a label and its value. It is a
    header if the question contains its second cell and the first cell of another row, for example
    "manager" and "Ulm".
    """
    rows = [item.statement for item in statements if item.statement.first_row_start is not None]
    first_rows = {row.start: row for row in rows if row.start == row.first_row_start}
    named_columns = {
        start
        for start, row in first_rows.items()
        if is_named_in(row.cells[1], question_terms, language)
    }
    header_starts = {
        row.first_row_start
        for row in rows
        if row.first_row_start in named_columns
        and row.start != row.first_row_start
        and is_named_in(row.cells[0], question_terms, language)
    }
    if not header_starts:
        return statements
    return [
        _add_columns(item.statement, first_rows, language)
        if item.statement.first_row_start in header_starts
        else item
        for item in statements
        if item.statement.start not in header_starts
    ]


def _add_columns(
    row: Statement, first_rows: Mapping[int, Statement], language: str
) -> AnalyzedStatement:
    """Return *row* with column names: the cells of the first row of its table."""
    columns = first_rows[row.first_row_start or 0].cells
    return AnalyzedStatement.from_statement(replace(row, columns=columns), language)
