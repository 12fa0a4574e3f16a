"""Select the sentences of document chunks that answer a question, without a language model."""

from collections.abc import Mapping, Sequence
from typing import Final

from backend.ai.answer_options import ExtractionOptions
from backend.ai.chunk_statements import ChunkT
from backend.ai.sentence_ranking import ScoredSentence, rank_sentences
from backend.ai.sentence_similarities import SentenceSimilarities

# Maximum number of table rows that answer a question together.
_MAX_ROWS: Final = 10


def extract_answer(
    question: str,
    chunks: Sequence[ChunkT],
    similarities: SentenceSimilarities[ChunkT],
    options: ExtractionOptions,
    *,
    term_weights: Mapping[str, float] | None = None,
) -> list[ScoredSentence[ChunkT]]:
    """Return the sentences that answer *question*, best first; none if support is too low.

    See `rank_sentences` for the arguments.
    """
    ranked = rank_sentences(question, chunks, similarities, options, term_weights=term_weights)
    return select_sentences(ranked, options)


def select_sentences(
    ranked: Sequence[ScoredSentence[ChunkT]], options: ExtractionOptions
) -> list[ScoredSentence[ChunkT]]:
    """Return the sentences of *ranked* for the answer; none if the first lacks support.

    One of them must have what `ExtractionOptions` requires. If it contains the number or name that
    the question asks for, so do the others. Table rows must contain all terms of the question that
    the first row contains.
    """
    if not ranked or ranked[0].support < options.min_support:
        return []
    best_score = ranked[0].score
    min_score = max(options.min_score_ratio * best_score, best_score - options.max_score_gap)
    selected = [
        sentence
        for sentence in ranked
        if sentence.score >= min_score and sentence.support >= options.min_support
    ]
    first = next((sentence for sentence in selected if sentence.can_answer), None)
    if first is None:
        return []
    selected = [sentence for sentence in selected if sentence.answer_type >= first.answer_type]
    selected = [sentence for sentence in selected if not _is_heading_of(sentence, selected)]
    if not selected[0].statement.cells:
        return _drop_other_rows(selected)[: options.max_sentences]
    rows = [sentence for sentence in selected if sentence.statement.cells]
    return _drop_other_rows(rows)[:_MAX_ROWS]


def _is_heading_of(
    sentence: ScoredSentence[ChunkT], selected: Sequence[ScoredSentence[ChunkT]]
) -> bool:
    """Return True if *sentence* is the heading of a selected one with its question terms or others.

    A heading does not answer what the sentence below it answers.
    """
    return sentence.statement.is_possible_heading and any(
        other.statement.heading == sentence.quote
        and (other.own_terms - sentence.own_terms or other.own_terms >= sentence.own_terms > set())
        for other in selected
    )


def _drop_other_rows(selected: Sequence[ScoredSentence[ChunkT]]) -> list[ScoredSentence[ChunkT]]:
    """Return *selected* without rows that lack a term of the question that the first row contains.

    If the first row contains none of the terms, it is the only row that remains.
    """
    first_row = next((sentence for sentence in selected if sentence.statement.cells), None)
    return [
        sentence
        for sentence in selected
        if not sentence.statement.cells
        or sentence is first_row
        or (first_row and first_row.own_terms and first_row.own_terms <= sentence.own_terms)
    ]
