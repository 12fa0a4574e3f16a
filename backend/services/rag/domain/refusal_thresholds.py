"""The minimum support for calling a language model, and the ranking that computes the support.

The threshold of answers without a language model is in `ANSWER_OPTIONS`.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from backend.ai.answer_options import ExtractionOptions, get_answer_options
from backend.ai.sentence_ranking import ScoredSentence, rank_sentences
from backend.ai.sentence_similarities import SentenceSimilarities
from backend.services.rag.model import SearchHit

# Lower than the threshold of extractive answers: the model can still reply that the chunks do not
# answer the question.
MIN_SUPPORT_FOR_MODEL: Final = 0.6


def rank_hit_sentences(
    question: str,
    hits: Sequence[SearchHit],
    similarities: SentenceSimilarities[SearchHit],
    term_weights: Mapping[str, float],
    options: ExtractionOptions | None = None,
) -> list[ScoredSentence[SearchHit]]:
    """Return all sentences of *hits*, best first.

    *term_weights* are the inverse document frequencies of the question's terms. Without *options*,
    the embedding model is the one for English.
    """
    options = options or get_answer_options(question, hits)
    return rank_sentences(question, hits, similarities, options, term_weights=term_weights)
