"""How good an answer is, beside the answers that are right.

Texts are compared as SQuAD's evaluation does: without case, punctuation, articles and
further white space (https://rajpurkar.github.io/SQuAD-explorer/).
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from backend.ai.citations import Citation, Embedder
from backend.services.agent.domain.questions import Expectation

EXACT: Final = "exact"
CONTAINS: Final = "contains"
F1: Final = "f1"
SIMILARITY: Final = "similarity"
CITED: Final = "cited"
# The order in which they are shown.
ALL: Final = (EXACT, CONTAINS, F1, SIMILARITY, CITED)

_MARKERS: Final = re.compile(r"\s*\[\d+\]")
_ARTICLES: Final = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)


def scores(
    expectation: Expectation, text: str, citations: Sequence[Citation], embedder: Embedder
) -> dict[str, float]:
    """Each score from 0 to 1; the best of those by all answers that are right."""
    given, right = _plain(text), [_plain(each) for each in expectation.expected]
    found = {
        EXACT: max(float(given == each) for each in right),
        CONTAINS: max(float(f" {each} " in f" {given} ") for each in right),
        F1: max(_overlap(given.split(), each.split()) for each in right),
        SIMILARITY: _similarity(_MARKERS.sub("", text), expectation.expected, embedder),
    }
    if expectation.cites:
        found[CITED] = _cited(expectation.must_cite, citations)
    return found


def nothing(expectation: Expectation) -> dict[str, float]:
    """The scores of no answer at all."""
    named = ALL if expectation.cites else ALL[:-1]
    return dict.fromkeys(named, 0.0)


def _plain(text: str) -> str:
    bare = _MARKERS.sub("", text).lower().translate(_NO_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def _overlap(given: Sequence[str], right: Sequence[str]) -> float:
    if not given or not right:
        return float(list(given) == list(right))
    shared = sum((Counter(given) & Counter(right)).values())
    return 2 * shared / (len(given) + len(right))


def _similarity(text: str, expected: Sequence[str], embedder: Embedder) -> float:
    if not text.strip():
        return 0.0
    rows = embedder.encode([text, *expected])
    return max(0.0, float(np.max(rows[1:] @ rows[0])))


def _cited(wanted: Sequence[str], citations: Sequence[Citation]) -> float:
    """The share of the documents to cite that are; any citation counts where none is named."""
    if not wanted:
        return float(bool(citations))
    named = {each.filename for each in citations} | {each.document_id for each in citations}
    return sum(each in named for each in wanted) / len(wanted)
