"""Print how well the extractive answers answer, and how well they refuse.

    python -m benchmarks.rag.answers DATA [QUESTIONS=200]

DATA is a folder of question sets in BEIR's layout (corpus.jsonl, queries.jsonl, qrels.tsv in a
folder for each).

XQuAD's English articles, every other one taken in, whole paragraphs as passages. Asked are
questions whose paragraph is there, whose article is not (off topic), and whose paragraph alone
was left out of an article that is there (near misses, the hardest to refuse).
"""

import json
import random
import sys
from collections.abc import Iterable
from pathlib import Path

from backend.ai.embedding import Embedder
from backend.services.rag.domain import extracts as rule
from backend.services.rag.domain.found import Found
from backend.services.rag.domain.fusion import DEPTH, fused
from backend.services.rag.domain.reranking import by_words
from backend.services.rag.store.keywords import KeywordIndexes, Update
from backend.services.rag.store.postings import counted
from benchmarks.rag.collections_of_questions import Benchmark, read

PASSAGES = 5
THRESHOLDS = (0.6, 0.65, 0.7, 0.74, 0.77, 0.8, 0.85, 0.9)


def main() -> None:
    folder = Path(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    benchmark = read(folder, "xquad")
    accepted = json.loads((folder / "xquad" / "answers.json").read_text())
    library = Library(benchmark, Embedder(Path(".cache"), threads=1))
    inside, outside = library.questions(count)
    print(f"{len(library.taken)} paragraphs; {len(inside)} and {len(outside)} questions")
    print("threshold  answered  with the answer in it  off topic refused  near miss refused")
    rule.RELEVANT = 0.0  # everything, with its support: the thresholds are tried on that
    present = {q: library.answer(q) for q in inside}
    absent = [library.answer(q) for q in outside]
    missing = [library.answer(q, without=library.home(q)) for q in inside]
    for threshold in THRESHOLDS:
        given = {
            q: []
            if _refused(present[q], threshold)
            else [quote for quote, support in present[q] if support >= threshold]
            for q in inside
        }
        right = sum(_holds(given[q], accepted[q]) for q in inside)
        refused = sum(_refused(answer, threshold) for answer in absent)
        missed = sum(_refused(answer, threshold) for answer in missing)
        print(
            f"{threshold:9.2f}  {_share(sum(map(bool, given.values())), inside):>8}"
            f"  {_share(right, inside):>21}  {_share(refused, outside):>17}"
            f"  {_share(missed, inside):>17}"
        )


class Library:
    """Half of the articles, searched as the service searches."""

    def __init__(self, benchmark: Benchmark, embedder: Embedder) -> None:
        self._benchmark = benchmark
        self._embedder = embedder
        titles = sorted({title for title, _ in benchmark.documents.values()})
        half = set(random.Random(1).sample(titles, len(titles) // 2))  # noqa: S311
        self.taken = {k: d for k, d in benchmark.documents.items() if d[0] in half}
        texts = [f"{title}\n{text}" for title, text in self.taken.values()]
        self._rows = embedder.encode(texts)
        counts = [counted(f"doc_{k}", 1, [text]) for k, text in zip(self.taken, texts, strict=True)]
        self._words = KeywordIndexes(
            lambda left_out, _: Update(
                0, None, [each for each in counts if each.document_id != f"doc_{left_out}"]
            ),
            most=1,
        )

    def questions(self, count: int) -> tuple[list[str], list[str]]:
        """Questions whose paragraph was taken in, and others."""
        mixed = sorted(self._benchmark.questions)
        random.Random(2).shuffle(mixed)  # noqa: S311
        inside = [q for q in mixed if self.home(q) in self.taken]
        outside = [q for q in mixed if self.home(q) not in self.taken]
        return inside[:count], outside[:count]

    def home(self, question: str) -> str:
        return next(iter(self._benchmark.grades[question]))

    def answer(self, question: str, without: str | None = None) -> list[tuple[str, float]]:
        """The sentences that the service would answer with, and how well each fits."""
        text = self._benchmark.questions[question]
        cosines = self._rows @ self._embedder.encode([text])[0]
        dense = dict(zip(self.taken, map(float, cosines), strict=True))
        best = dict(sorted(dense.items(), key=lambda item: -item[1])[:DEPTH])
        best.pop(without or "", None)
        # A library without the paragraph, and that does not know its words.
        place = without or ""
        named = self._words.best(place, 0, text, DEPTH)
        ranking = fused(best, {key[4:].split(".")[0]: score for key, score in named.items()})
        rarity = self._words.rarity({place: 0}, text)
        first = [self._found(key, score) for key, score in list(ranking.items())[:DEPTH]]
        passages = by_words(text, first, rarity)[:PASSAGES]
        chosen = rule.chosen_sentences(text, passages, self._embedder, rarity)
        return [(each.quote, each.support) for each in chosen]

    def _found(self, key: str, score: float) -> Found:
        title, text = self.taken[key]
        return Found(key, key, 1, key, title, "", None, 0, len(text), text, score)


def _refused(answer: list[tuple[str, float]], threshold: float) -> bool:
    # The first decides; see chosen_sentences.
    return not answer or answer[0][1] < threshold


def _holds(sentences: Iterable[str], accepted: Iterable[str]) -> bool:
    answer = " ".join(sentences).lower()
    return any(each.lower() in answer for each in accepted)


def _share(part: int, whole: list[str]) -> str:
    return f"{100 * part / len(whole):.1f} %"


if __name__ == "__main__":
    main()
