"""Weights and thresholds of answers without a language model, by the languages involved."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from backend.ai.chunk_statements import AnswerChunk
from backend.ai.text.languages import detect_language
from backend.ai.text.sentences import MAX_SENTENCE_CHARS


@dataclass(frozen=True, slots=True)
class ExtractionOptions:
    """Weights and thresholds of the selection.

    *similarity* is the cosine similarity of question and sentence, multiplied by
    *similarity_weight*. *shared* is the share of the question's terms that the sentence contains,
    each weighted by its rarity among the sentences.

        score   = similarity + shared_terms_weight * shared + answer_type_weight * answer type
        support = similarity + shared_terms_support * shared + coverage_weight * coverage

    *answer type* is 1 if the sentence contains the number or name that the question asks for, 0 if
    it does not, and 0.5 if the question asks for neither. A line such as "Phone: 0221 4455" has
    additional support if the question contains its label, and a table row if the question contains
    a cell and the name of another column. *coverage* is the weighted share of the
    question's terms that the whole chunk contains. Sentences are ordered by
    score + chunk_rank_weight * rank, where *rank* falls from 1 for the first chunk towards 0.
    """

    # The first sentence, and every further one, needs this support.
    min_support: float
    # A further sentence needs at least this share of the first sentence's score, ...
    min_score_ratio: float = 0.0
    # ... and its score may be lower by at most this difference.
    max_score_gap: float = float("inf")
    max_sentences: int = 3
    shared_terms_weight: float = 0.0
    answer_type_weight: float = 0.0
    chunk_rank_weight: float = 0.0
    shared_terms_support: float = 0.0
    coverage_weight: float = 0.0
    # Weights, in score and support, of the share of the question's terms, except those that only
    # phrase the question, that the sentence contains. Weighted by rarity in the collections.
    share_weight: float = 0.0
    share_support: float = 0.0
    # 0 if the embedding model does not know the language of the question.
    similarity_weight: float = 1.0
    # Added to the support if the sentence does not contain what the question asks for: a number,
    # a person or a reason.
    missing_type_support: float = 0.0
    # A sentence that lacks the number, year, person or reason that the question asks for is no
    # answer. If it lacks more than *max_missing_share* of the question's own terms, and its title
    # does too, its similarity must be at least *min_similarity*. The other two values apply to a
    # question for a person or a price, which many names and prices seem to answer.
    requires_answer_type: bool = False
    max_missing_share: float = 1.0
    min_similarity: float = 0.0
    max_missing_entity_share: float = 1.0
    min_entity_similarity: float = 0.0
    # Longer sentences are cut at white space.
    max_sentence_chars: int = MAX_SENTENCE_CHARS


# Both services use these values, so that they answer the same questions. They were measured with
# `python -m benchmarks.rag.answers`, see ADR 43, and `python -m benchmarks.agent.lite_answers`.
ANSWER_OPTIONS: Final = ExtractionOptions(
    min_support=0.74,
    min_score_ratio=0.7,
    max_score_gap=0.35,
    shared_terms_weight=0.5,
    answer_type_weight=0.1,
    chunk_rank_weight=0.3,
    coverage_weight=0.7,
    requires_answer_type=True,
    max_missing_entity_share=0.35,
    min_entity_similarity=0.67,
)


# For languages that the embedding model does not know. Measured with
# `python -m benchmarks.rag.language_answers`.
LEXICAL_OPTIONS: Final = replace(
    ANSWER_OPTIONS,
    min_support=0.44,
    similarity_weight=0.0,
    shared_terms_weight=0.0,
    share_weight=1.0,
    answer_type_weight=0.2,
    chunk_rank_weight=0.15,
    share_support=0.5,
    coverage_weight=0.5,
    missing_type_support=-0.15,
    # There are no similarities: a name or price without the question's words is never an answer.
    min_entity_similarity=1.0,
)


# For languages that the embedding model knows.
MULTILINGUAL_OPTIONS: Final = replace(
    LEXICAL_OPTIONS,
    min_support=0.68,
    similarity_weight=0.625,
    share_weight=0.7,
    max_missing_share=0.5,
    min_similarity=0.5,
    min_entity_similarity=0.67,
)

# For documents in another language than the question, which share no words with it.
CROSS_LANGUAGE_OPTIONS: Final = replace(
    ANSWER_OPTIONS,
    min_support=0.42,
    coverage_weight=0.0,
    shared_terms_weight=0.0,
    missing_type_support=-0.1,
    requires_answer_type=False,
    max_missing_entity_share=1.0,
)


def get_answer_options(
    question: str, chunks: Sequence[AnswerChunk], *, is_multilingual: bool = False
) -> ExtractionOptions:
    """Return the weights and thresholds for the languages of *question* and the best chunk.

    Args:
        is_multilingual: whether the embedding model knows other languages than English.
    """
    chunk_language = detect_language(chunks[0].text) if chunks and is_multilingual else ""
    if chunk_language and detect_language(question) not in ("", chunk_language):
        return CROSS_LANGUAGE_OPTIONS
    if detect_answer_language(question, chunks) in ("", "en"):
        return ANSWER_OPTIONS
    return MULTILINGUAL_OPTIONS if is_multilingual else LEXICAL_OPTIONS


def detect_answer_language(question: str, chunks: Sequence[AnswerChunk]) -> str:
    """Return the language of *question*. That of the best chunk stands for an unknown one."""
    return detect_language(question) or (detect_language(chunks[0].text) if chunks else "")
