"""Score an answer against the expected answers.

Texts are compared as in the SQuAD evaluation: without case, punctuation, articles and repeated
white space (https://rajpurkar.github.io/SQuAD-explorer/).
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from backend.ai.citations import Citation
from backend.ai.embedder import Embedder

# Names of the scores, in the order in which they are displayed. They are stored with evaluations.
EXACT: Final = "exact"
CONTAINS: Final = "contains"
F1: Final = "f1"
SIMILARITY: Final = "similarity"
CITED: Final = "cited"
SCORE_NAMES: Final = (EXACT, CONTAINS, F1, SIMILARITY, CITED)

_CITATION_MARKER: Final = re.compile(r"(?<!\s)\s*+\[\d++\]")
_ARTICLE: Final = re.compile(r"\b(?:a|an|the)\b")
_WITHOUT_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)


def score_answer(
    answer: str,
    expected_answers: Sequence[str],
    embedder: Embedder,
    *,
    citations: Sequence[Citation] | None = None,
    required_documents: Sequence[str] = (),
) -> dict[str, float]:
    """Return the scores of *answer* by name, each from 0 to 1.

    Args:
        answer: the text, which may contain citation markers.
        expected_answers: correct answers. Each score is the best one among them.
        embedder: its vectors are used to compare the meaning of the texts.
        citations: the answer's citations, or None if they are not scored.
        required_documents: names or ids of the documents to cite. If it is empty, any citation
            counts.
    """
    normalized = _normalize(answer)
    expected = [_normalize(text) for text in expected_answers]
    scores = {
        EXACT: max(float(normalized == text) for text in expected),
        CONTAINS: max(float(f" {text} " in f" {normalized} ") for text in expected),
        F1: max(_word_f1(normalized.split(), text.split()) for text in expected),
        SIMILARITY: _max_similarity(_CITATION_MARKER.sub("", answer), expected_answers, embedder),
    }
    if citations is not None:
        scores[CITED] = _cited_share(required_documents, citations)
    return scores


def zero_scores(*, with_citations: bool) -> dict[str, float]:
    """Return scores of 0, for a question without an answer."""
    names = SCORE_NAMES if with_citations else SCORE_NAMES[:-1]
    return dict.fromkeys(names, 0.0)


def _normalize(text: str) -> str:
    text = _CITATION_MARKER.sub("", text).lower().translate(_WITHOUT_PUNCTUATION)
    return " ".join(_ARTICLE.sub(" ", text).split())


def _word_f1(words: Sequence[str], expected_words: Sequence[str]) -> float:
    """Return the F1 score of *words*: the harmonic mean of precision and recall."""
    if not words or not expected_words:
        return float(list(words) == list(expected_words))
    shared = sum((Counter(words) & Counter(expected_words)).values())
    return 2 * shared / (len(words) + len(expected_words))


def _max_similarity(text: str, expected_answers: Sequence[str], embedder: Embedder) -> float:
    if not text.strip():
        return 0.0
    rows = embedder.encode([text, *expected_answers])
    return max(0.0, float(np.max(rows[1:] @ rows[0])))


def _cited_share(required_documents: Sequence[str], citations: Sequence[Citation]) -> float:
    """Return the share of the required documents that are cited by name or id."""
    if not required_documents:
        return float(bool(citations))
    cited = {citation.filename for citation in citations}
    cited |= {citation.document_id for citation in citations}
    return sum(document in cited for document in required_documents) / len(required_documents)
