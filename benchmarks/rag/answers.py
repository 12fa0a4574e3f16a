"""Print the share of correct extractive answers and of correct refusals.

    python -m benchmarks.rag.answers DATA [QUESTIONS=200]

DATA is a folder of question sets in BEIR's layout (corpus.jsonl, queries.jsonl, qrels.tsv in a
folder per set).

Half of XQuAD's English articles are indexed, with paragraphs as chunks. The questions are those
whose paragraph is indexed, those whose article is not indexed (off topic), and those whose
paragraph alone was left out of an indexed article (near misses, the hardest to refuse).

The last line is about the passages that a small language model reads to answer.
"""

import json
import random
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from backend.ai.answer_options import ANSWER_OPTIONS
from backend.ai.embedding import BuiltInEmbedder
from backend.ai.extractive_answers import select_sentences
from backend.ai.passage_windows import select_windows
from backend.ai.sentence_ranking import ScoredSentence
from backend.ai.text.token_estimates import estimate_tokens
from backend.services.agent.engine.chat_models.compact_prompts import MAX_PASSAGE_TOKENS
from backend.services.rag.domain.refusal_thresholds import rank_hit_sentences
from backend.services.rag.domain.search.fusion import DEPTH, fuse_rankings
from backend.services.rag.domain.search.reranking import (
    RERANK_DEPTH,
    rerank_by_sentences,
    rerank_by_terms,
)
from backend.services.rag.model import SearchHit
from backend.services.rag.store.chunks import build_chunk_id
from backend.services.rag.store.keyword_index.index import IndexUpdate, KeywordIndexCache
from backend.services.rag.store.keyword_index.postings import build_postings
from benchmarks.rag.packed_similarities import PackedSimilarities
from benchmarks.rag.question_sets import QuestionSet, read_question_set

MAX_CHUNKS = 5
THRESHOLDS = (0.6, 0.65, 0.7, 0.74, 0.77, 0.8, 0.85, 0.9)


def main() -> None:
    folder = Path(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    benchmark = read_question_set(folder, "xquad")
    accepted = json.loads((folder / "xquad" / "answers.json").read_text())
    corpus = Corpus(benchmark, BuiltInEmbedder(threads=1))
    answerable, off_topic = corpus.select_questions(count)
    print(f"{len(corpus.indexed)} paragraphs; {len(answerable)} and {len(off_topic)} questions")
    print("threshold  answered  with the answer in it  off topic refused  near miss refused")
    present = {q: corpus.extract_answer(q) for q in answerable}
    absent = [corpus.extract_answer(q) for q in off_topic]
    missing = [corpus.extract_answer(q, without=corpus.get_paragraph(q)) for q in answerable]
    for threshold in THRESHOLDS:
        answers = {
            q: []
            if _is_refused(present[q], threshold)
            else [quote for quote, support in present[q] if support >= threshold]
            for q in answerable
        }
        right = sum(_contains_accepted_answer(answers[q], accepted[q]) for q in answerable)
        refused = sum(_is_refused(answer, threshold) for answer in absent)
        missed = sum(_is_refused(answer, threshold) for answer in missing)
        print(
            f"{threshold:9.2f}  {_format_share(sum(map(bool, answers.values())), answerable):>8}"
            f"  {_format_share(right, answerable):>21}  {_format_share(refused, off_topic):>17}"
            f"  {_format_share(missed, answerable):>17}"
        )
    passages = {q: corpus.select_passages(q) for q in answerable}
    known = [q for q in answerable if _contains_accepted_answer(passages[q], accepted[q])]
    tokens = fmean(sum(map(estimate_tokens, texts)) for texts in passages.values())
    print(
        f"passages for a small model: {tokens:.0f} tokens, "
        f"{_format_share(len(known), answerable)} with the answer in it"
    )


class Corpus:
    """Half of the articles, searched like the service does."""

    def __init__(self, benchmark: QuestionSet, embedder: BuiltInEmbedder) -> None:
        self._benchmark = benchmark
        self._embedder = embedder
        self._similarities = PackedSimilarities(embedder)
        titles = sorted({title for title, _ in benchmark.documents.values()})
        half = set(random.Random(1).sample(titles, len(titles) // 2))  # noqa: S311
        self.indexed = {k: d for k, d in benchmark.documents.items() if d[0] in half}
        texts = [f"{title}\n{text}" for title, text in self.indexed.values()]
        self._rows = embedder.encode(texts)
        postings = [
            build_postings(f"doc_{k}", 1, [text])
            for k, text in zip(self.indexed, texts, strict=True)
        ]
        self._keyword_indexes = KeywordIndexCache(
            lambda left_out, _: IndexUpdate(
                0, None, [item for item in postings if item.document_id != f"doc_{left_out}"]
            ),
            max_chunks=1,
        )

    def select_questions(self, count: int) -> tuple[list[str], list[str]]:
        """Return questions whose paragraph is indexed, and questions whose article is not."""
        mixed = sorted(self._benchmark.questions)
        random.Random(2).shuffle(mixed)  # noqa: S311
        answerable = [q for q in mixed if self.get_paragraph(q) in self.indexed]
        off_topic = [q for q in mixed if self.get_paragraph(q) not in self.indexed]
        return answerable[:count], off_topic[:count]

    def get_paragraph(self, question: str) -> str:
        return next(iter(self._benchmark.grades[question]))

    def extract_answer(self, question: str, without: str | None = None) -> list[tuple[str, float]]:
        """Return the sentences of the service's answer and their support."""
        ranked, _ = self._rank_sentences(question, without)
        # Without a threshold: each threshold is applied to the support of these sentences.
        chosen = select_sentences(ranked, replace(ANSWER_OPTIONS, min_support=0.0))
        return [(item.quote, item.support) for item in chosen]

    def select_passages(self, question: str) -> list[str]:
        """Return the passages that a small language model reads."""
        windows = select_windows(*self._rank_sentences(question), MAX_PASSAGE_TOKENS)
        return [window.text for window in windows]

    def _rank_sentences(
        self, question: str, without: str | None = None
    ) -> tuple[list[ScoredSentence[SearchHit]], list[SearchHit]]:
        """Return the sentences of the best hits, best first, and the hits."""
        text = self._benchmark.questions[question]
        cosines = self._rows @ self._embedder.encode([text])[0]
        dense = dict(zip(self.indexed, map(float, cosines), strict=True))
        dense_scores = dict(sorted(dense.items(), key=lambda item: -item[1])[:DEPTH])
        dense_scores.pop(without or "", None)
        # The key of an index without the paragraph, whose words it does not contain.
        collection = without or ""
        dense_ids = [build_chunk_id(f"doc_{key}", 1, 0) for key in dense_scores]
        keyword_scores = self._keyword_indexes.search_chunks(
            collection, 0, text, DEPTH, scored_ids=dense_ids
        )
        ranking = fuse_rankings(
            dense_scores, {key[4:].split(".")[0]: score for key, score in keyword_scores.items()}
        )
        term_weights = self._keyword_indexes.weigh_terms({collection: 0}, text).by_term
        first = [self._build_hit(key, score) for key, score in list(ranking.items())[:DEPTH]]
        by_terms = rerank_by_terms(text, first, term_weights)
        similarities = self._similarities.score_chunks(text, by_terms[:RERANK_DEPTH])
        hits = rerank_by_sentences(by_terms, similarities)[:MAX_CHUNKS]
        return list(rank_hit_sentences(text, hits, self._similarities, term_weights)), hits

    def _build_hit(self, key: str, score: float) -> SearchHit:
        title, text = self.indexed[key]
        return SearchHit(key, key, 1, key, title, "", None, 0, len(text), text, score)


def _is_refused(answer: list[tuple[str, float]], threshold: float) -> bool:
    # The support of the first sentence decides; see select_sentences.
    return not answer or answer[0][1] < threshold


def _contains_accepted_answer(sentences: Iterable[str], accepted: Iterable[str]) -> bool:
    answer = " ".join(sentences).lower()
    return any(item.lower() in answer for item in accepted)


def _format_share(part: int, questions: list[str]) -> str:
    return f"{100 * part / len(questions):.1f} %"


if __name__ == "__main__":
    main()
