"""Thresholds below which a question is refused, and the ranking of sentences that they apply to.

`min_support` is the threshold of answers without a language model, `MIN_SUPPORT_FOR_MODEL` that of
answers by a language model.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from backend.ai.embedder import Embedder
from backend.ai.extractive_answers import ExtractionOptions, ScoredSentence, rank_sentences
from backend.services.rag.model import SearchHit

# Measured with `python -m benchmarks.rag.answers`; the figures are in ADR 21.
OPTIONS: Final = ExtractionOptions(
    min_support=0.74,
    min_score_ratio=0.7,
    shared_terms_weight=0.5,
    answer_type_weight=0.1,
    chunk_rank_weight=0.3,
    coverage_weight=0.7,
    # Longer than a chunk: sentences are not cut.
    max_sentence_chars=5_000,
)
# A language model gets chunks with less support, because it can still reply that they do not
# answer the question.
MIN_SUPPORT_FOR_MODEL: Final = 0.6


def rank_hit_sentences(
    question: str, hits: Sequence[SearchHit], embedder: Embedder, term_weights: Mapping[str, float]
) -> list[ScoredSentence[SearchHit]]:
    """Return all sentences of *hits*, best first.

    *term_weights* are the inverse document frequencies of the question's terms.
    """
    return rank_sentences(
        question,
        hits,
        embedder,
        OPTIONS,
        term_weights=term_weights,
        get_context=lambda hit: f"{hit.title} {hit.section}",
    )
