"""Measure how often the rule-based model answers correctly and how often it rightly abstains.

    python -m benchmarks.agent.lite_answers XQUAD_FOLDER [EVERY]

XQUAD_FOLDER contains corpus.jsonl, queries.jsonl, qrels.tsv (BEIR layout) and answers.json. Each
question (or every EVERYth) is answered twice: from the six nearest paragraphs of all articles, and
from the six nearest of the other articles. The correct response to the second is that nothing was
found. The terms of a question are weighted by their frequency in the paragraphs, as by the rag
service.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from backend.ai.embedding import BuiltInEmbedder
from backend.services.agent.domain.rule_based.extractive_answers import answer_from_chunks
from backend.services.agent.model import Chunk
from backend.services.rag.store.keyword_index.index import IndexUpdate, KeywordIndexCache
from backend.services.rag.store.keyword_index.postings import build_postings
from benchmarks.rag.packed_similarities import PackedSimilarities

MAX_CHUNKS = 6


def main(folder: Path, every: int) -> None:
    paragraphs = _read_lines(folder / "corpus.jsonl")
    questions = _read_lines(folder / "queries.jsonl")[::every]
    accepted_answers = json.loads((folder / "answers.json").read_text())
    titles = {paragraph["_id"]: paragraph["title"] for paragraph in paragraphs}
    relevance_lines = (folder / "qrels.tsv").read_text().splitlines()
    paragraph_ids = dict(line.split("\t")[:2] for line in relevance_lines)

    embedder = BuiltInEmbedder(threads=1)
    vectors = embedder.encode(
        [f"{paragraph['title']}. {paragraph['text']}" for paragraph in paragraphs]
    )
    library = Library(embedder, paragraphs)
    answered = correct = abstained = 0
    started = time.perf_counter()
    for question in questions:
        order = np.argsort(-(vectors @ embedder.encode([question["text"]])[0]))
        ranked = [paragraphs[index] for index in order]
        answer = library.answer(question["text"], ranked)
        answered += answer is not None
        correct += answer is not None and _is_correct(answer, accepted_answers[question["_id"]])
        title = titles[paragraph_ids[question["_id"]]]
        other_articles = [paragraph for paragraph in ranked if paragraph["title"] != title]
        abstained += library.answer(question["text"], other_articles) is None
    seconds = (time.perf_counter() - started) / (2 * len(questions))

    total = len(questions)
    print(f"{total} questions, {seconds * 1000:.0f} ms per answer")
    print(f"answered {answered / total:.3f}, with an accepted answer {correct / total:.3f}")
    print(f"abstained without a relevant paragraph {abstained / total:.3f}")


class Library:
    """Answers from paragraphs with the term weights of the paragraphs that can be found."""

    def __init__(self, embedder: BuiltInEmbedder, paragraphs: list[dict[str, str]]) -> None:
        self._similarities = PackedSimilarities(embedder)
        self._postings = {
            item["_id"]: build_postings(item["_id"], 1, [f"{item['title']}\n{item['text']}"])
            for item in paragraphs
        }

    def answer(self, question: str, paragraphs: list[dict[str, str]]) -> str | None:
        """Return the answer from the first of *paragraphs*, of those that exist."""
        postings = [self._postings[item["_id"]] for item in paragraphs]
        indexes = KeywordIndexCache(lambda _, __: IndexUpdate(0, None, postings), max_chunks=1)
        weights = indexes.weigh_terms({"": 0}, question).by_term
        chunks = [
            Chunk(
                item["_id"],
                item["title"],
                None,
                0,
                len(item["text"]),
                item["text"],
                title=item["title"],
            )
            for item in paragraphs[:MAX_CHUNKS]
        ]
        return answer_from_chunks(self._similarities, question, chunks, weights)


def _is_correct(answer: str, accepted_answers: list[str]) -> bool:
    return any(accepted.lower().rstrip(".") in answer.lower() for accepted in accepted_answers)


def _read_lines(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
