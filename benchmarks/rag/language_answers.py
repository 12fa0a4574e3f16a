"""Print how many questions in twelve languages are answered right without a language model.

    python -m benchmarks.rag.language_answers [LANGUAGE …] [--mixed] [--near-misses]

`language_questions/LANGUAGE.txt` has documents and 20 questions about them. Each language is
a library of its own; with --mixed, all documents are in one. Documents are searched and answered as
by the rag service. An answer is right if it contains the expected text; a question without an
answer in the documents must be refused. Wrong answers are printed below the table.

With --near-misses, the questions are those of `near_misses/LANGUAGE.txt`: what the same documents
do not say about their subjects. All must be refused.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from backend.ai.answer_options import get_answer_options
from backend.ai.embedding import BuiltInEmbedder, EmbeddingModel, MultilingualEmbedder
from backend.ai.extractive_answers import select_sentences
from backend.ai.follow_ups import Turn, rewrite_follow_up
from backend.ai.text.languages import detect_language
from backend.ai.text.quotes import format_statement
from backend.services.rag.domain.refusal_thresholds import rank_hit_sentences
from backend.services.rag.domain.search.fusion import DEPTH, fuse_rankings
from backend.services.rag.domain.search.reranking import (
    RERANK_DEPTH,
    rerank_by_sentences,
    rerank_by_terms,
)
from backend.services.rag.model import SearchHit
from backend.services.rag.store.keyword_index.index import IndexUpdate, KeywordIndexCache
from backend.services.rag.store.keyword_index.postings import build_postings
from benchmarks.rag.packed_similarities import PackedSimilarities

FOLDER = Path(__file__).with_name("language_questions")
MAX_CHUNKS = 5
_NO_ANSWER = "-"


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the expected text ("-" for none), and the question before a follow-up."""

    text: str
    expected: str
    previous: "Question | None"


@dataclass(frozen=True, slots=True)
class Result:
    """Answer to a question: "" if it was refused."""

    question: Question
    answer: str

    @property
    def is_right(self) -> bool:
        if self.question.expected == _NO_ANSWER:
            return not self.answer
        return self.question.expected.casefold() in self.answer.casefold()


class Library:
    """Documents, one chunk each, that are searched like by the rag service."""

    def __init__(self, documents: Mapping[str, str], embedder: EmbeddingModel) -> None:
        self._embedder = embedder
        self._is_multilingual = isinstance(embedder, MultilingualEmbedder)
        self._similarities = PackedSimilarities(embedder)
        self._hits = {
            f"{number:032x}": SearchHit(
                f"chk_{number:032x}",
                f"doc_{number}",
                1,
                title,
                title,
                "",
                None,
                0,
                len(text),
                text,
                0.0,
            )
            for number, (title, text) in enumerate(documents.items())
        }
        texts = {key: f"{hit.title}\n{hit.text}" for key, hit in self._hits.items()}
        self._vectors = embedder.encode(list(texts.values()))
        postings = [build_postings(f"doc_{key}", 1, [text]) for key, text in texts.items()]
        self._keyword_indexes = KeywordIndexCache(lambda *_: IndexUpdate(0, None, postings), 1)

    def answer(self, question: Question) -> str:
        """Return the extractive answer, or "" if the question is refused."""
        text = self._complete(question)
        weights = self._keyword_indexes.weigh_terms({"": 0}, text).by_term
        by_terms = rerank_by_terms(text, self._search(text), weights)
        similarities = self._similarities.score_chunks(text, by_terms[:RERANK_DEPTH])
        hits = rerank_by_sentences(by_terms, similarities)[:MAX_CHUNKS]
        options = get_answer_options(text, hits, is_multilingual=self._is_multilingual)
        ranked = rank_hit_sentences(text, hits, self._similarities, weights, options)
        return " ".join(
            format_statement(item.chunk.text, item.statement)
            for item in select_sentences(ranked, options)
        )

    def _complete(self, question: Question) -> str:
        previous = question.previous
        if previous is None:
            return question.text
        history = [Turn("user", previous.text), Turn("assistant", self.answer(previous))]
        return rewrite_follow_up(question.text, history)

    def _search(self, text: str) -> list[SearchHit]:
        scores = self._keyword_indexes.search_chunks("", 0, text, DEPTH)
        ranking = {key.removeprefix("chk_").split(".")[0]: score for key, score in scores.items()}
        if self._is_multilingual or detect_language(text) in ("", "en"):
            cosines = (self._vectors @ self._embedder.encode_queries([text])[0]).tolist()
            ranking = fuse_rankings(dict(zip(self._hits, cosines, strict=True)), ranking)
        return [
            replace(self._hits[key], score=score) for key, score in list(ranking.items())[:DEPTH]
        ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("languages", nargs="*")
    parser.add_argument("--mixed", action="store_true")
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--near-misses", action="store_true")
    parser.add_argument("--multilingual", action="store_true")
    arguments = parser.parse_args()
    folder = FOLDER / "held_out" if arguments.held_out else FOLDER
    languages = arguments.languages or sorted(file.stem for file in folder.glob("*.txt"))
    sets = {language: read_questions(folder / f"{language}.txt") for language in languages}
    if arguments.near_misses:
        sets = {
            language: (documents, read_near_misses(language))
            for language, (documents, _) in sets.items()
        }
    embedder = (
        MultilingualEmbedder(threads=1) if arguments.multilingual else BuiltInEmbedder(threads=1)
    )
    everything = {
        title: text for documents, _ in sets.values() for title, text in documents.items()
    }
    wrong: list[tuple[str, Result]] = []
    print("language  right  of  other sentence  refused  answered without an answer")
    for language, (documents, questions) in sets.items():
        library = Library(everything if arguments.mixed else documents, embedder)
        results = [Result(question, library.answer(question)) for question in questions]
        print(_format_row(language, results))
        wrong += [(language, result) for result in results if not result.is_right]
    for language, result in wrong:
        print(f"\n{language}: {result.question.text}  [{result.question.expected}]")
        print(f"    {result.answer or '(refused)'}")


def read_questions(file: Path) -> tuple[dict[str, str], list[Question]]:
    """Return the documents of *file* by title, and the questions."""
    document_part, _, question_part = file.read_text(encoding="utf-8").partition("\n---\n")
    documents = {}
    for part in document_part.removeprefix("# ").split("\n# "):
        title, _, text = part.partition("\n")
        documents[title] = text
    return documents, list(_parse_questions(question_part.splitlines()))


def read_near_misses(language: str) -> list[Question]:
    """Return questions about the subjects of the documents that the documents do not answer."""
    lines = (FOLDER / "near_misses" / f"{language}.txt").read_text(encoding="utf-8").splitlines()
    return [Question(line, _NO_ANSWER, None) for line in lines]


def _parse_questions(lines: Sequence[str]) -> Iterator[Question]:
    """Yield the questions. A line with ">" is a follow-up to the question before it."""
    previous: Question | None = None
    for line in lines:
        text, _, expected = (part.strip() for part in line.partition("|"))
        is_follow_up = text.startswith(">")
        question = Question(text.lstrip("> "), expected, previous if is_follow_up else None)
        previous = question
        yield question


def _format_row(language: str, results: Sequence[Result]) -> str:
    wrong = [result for result in results if not result.is_right]
    invented = sum(result.question.expected == _NO_ANSWER for result in wrong)
    refused = sum(not result.answer for result in wrong)
    other = len(wrong) - invented - refused
    return (
        f"{language:8}  {len(results) - len(wrong):5}  {len(results):2}  {other:14}  {refused:7}"
        f"  {invented:26}"
    )


if __name__ == "__main__":
    main()
