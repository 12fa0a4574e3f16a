"""Rankings of complete documents by keywords and by vectors."""

import numpy as np

from backend.ai.embedding import Vectors
from backend.services.rag.domain.search import fusion
from backend.services.rag.store.keyword_index.index import IndexUpdate, KeywordIndexCache
from backend.services.rag.store.keyword_index.postings import build_postings
from benchmarks.rag.question_sets import QuestionSet

Ranking = dict[str, float]


COLLECTION = "texts"


def build_index(texts: list[str]) -> KeywordIndexCache:
    """Return the keyword index of *texts* as COLLECTION, with the documents doc_0, doc_1, …"""
    postings = [build_postings(f"doc_{n}", 1, [text]) for n, text in enumerate(texts)]
    return KeywordIndexCache(lambda *_: IndexUpdate(0, None, postings), max_chunks=1)


def rank_by_keywords(
    question_set: QuestionSet, texts: list[str], index: KeywordIndexCache | None = None
) -> dict[str, Ranking]:
    """Return the scores of all documents with a word of the question: the fusion needs them."""
    keys = list(question_set.documents)
    index = index or build_index(texts)
    rankings = {}
    for question, text in question_set.questions.items():
        hits = index.search_chunks(COLLECTION, 0, text, len(texts))
        rankings[question] = {
            keys[int(value[4:].split(".")[0])]: score for value, score in hits.items()
        }
    return rankings


def rank_by_vectors(
    question_set: QuestionSet, documents: Vectors, questions: Vectors
) -> dict[str, Ranking]:
    keys = list(question_set.documents)
    rankings = {}
    for question, vector in zip(question_set.questions, questions, strict=True):
        cosines = documents @ vector
        best = np.argsort(-cosines)[: fusion.DEPTH]
        rankings[question] = {keys[row]: float(cosines[row]) for row in best}
    return rankings
