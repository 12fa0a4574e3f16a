"""Check whether a statement has what a question requires of its answer.

A question can require a number or a name, and a statement about its subject. The thresholds are in
`ExtractionOptions`.
"""

from backend.ai.answer_candidates import Candidate
from backend.ai.answer_evidence import AnalyzedQuestion, Evidence
from backend.ai.answer_options import ExtractionOptions
from backend.ai.answer_types import (
    asks_for_person,
    asks_for_price,
    lacks_cost,
    match_answer_type,
    needs_answer_type,
)
from backend.ai.chunk_statements import AnswerChunk
from backend.ai.counted_things import find_counted_words, is_counted_in
from backend.ai.term_coverage import has_price_terms, is_named_in
from backend.ai.text.statements import Statement


def meets_requirements(
    question: AnalyzedQuestion,
    statement: Statement,
    answer_type: float,
    evidence: Evidence,
    options: ExtractionOptions,
) -> bool:
    """Return True if *statement* has what *options* require of an answer to *question*.

    *answer_type* is the result of `match_counted_type`.
    """
    return _has_answer_type(question, statement, answer_type, options) and _has_subject(
        question, evidence, options
    )


def is_value_named(question: AnalyzedQuestion, statement: Statement) -> bool:
    """Return True if the question contains the label, or a cell and another column's name."""
    if not statement.columns:
        return is_named_in(statement.label, question.terms, question.language)
    cells = [is_named_in(cell, question.terms, question.language) for cell in statement.cells]
    columns = [
        is_named_in(column, question.terms, question.language) for column in statement.columns
    ]
    return any(
        is_column_named and any(cells[:index] + cells[index + 1 :])
        for index, is_column_named in enumerate(columns)
    )


def match_counted_type(question: AnalyzedQuestion, candidate: Candidate[AnswerChunk]) -> float:
    """Return `match_answer_type`, but 0 if no number belongs to what the question counts.

    It is also 0 if the question asks what something costs, and the candidate names no money.
    Only sentences are checked: in a table, the name of a column says what is counted.
    """
    statement = candidate.statement
    if lacks_cost(question.text, candidate.text) and not has_price_terms(
        candidate.analyzed.terms.terms, question.language
    ):
        return 0.0
    answer_type = match_answer_type(question.text, statement.text)
    if answer_type != 1.0 or statement.cells:
        return answer_type
    counted = find_counted_words(question.text, question.language)
    return float(not counted or is_counted_in(candidate.text, counted, question.language))


def _has_answer_type(
    question: AnalyzedQuestion,
    statement: Statement,
    answer_type: float,
    options: ExtractionOptions,
) -> bool:
    return (
        answer_type > 0.0
        or not options.requires_answer_type
        or not needs_answer_type(question.text, statement.text)
    )


def _has_subject(
    question: AnalyzedQuestion, evidence: Evidence, options: ExtractionOptions
) -> bool:
    """Return False if the statement lacks much of the question and is not similar enough to it."""
    if _asks_for_entity(question):
        return (
            evidence.missing_share <= options.max_missing_entity_share
            or evidence.similarity >= options.min_entity_similarity
        )
    return (
        evidence.missing_share <= options.max_missing_share
        or evidence.similarity >= options.min_similarity
    )


def _asks_for_entity(question: AnalyzedQuestion) -> bool:
    """Return True if *question* asks for a person or a price."""
    return (
        asks_for_person(question.text)
        or asks_for_price(question.text)
        or has_price_terms(question.terms, question.language)
    )
