"""Answer out of the documents' own sentences, each with the place it stands at.

Nothing here is written by a model, so nothing can be made up: the answer is the sentences
that fit the question best, or the statement that none fits well enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from backend.chassis.database import Database
from backend.chassis.embedding import Embedder
from backend.services.rag.domain.chunking import unbroken
from backend.services.rag.domain.collections import Reader
from backend.services.rag.domain.found import Found
from backend.services.rag.domain.search import Question, Search
from backend.services.rag.domain.sentences import sentences
from backend.services.rag.store import documents as document_store
from backend.services.rag.store.words import words

MODEL = "extractive"
NOTHING = "The documents you can read say nothing about this."
# Measured on XQuAD with half of its articles left out (benchmarks/rag/answers.py): at this
# value nearly every question with an answer gets one, and 19 of 20 of the others are refused.
RELEVANT = 0.55
# A second and third sentence must be nearly as good as the first.
NEARLY = 0.7
MOST_SENTENCES = 3
_WORDS_WEIGHT = 0.5
_RANK_WEIGHT = 0.1
_HEADING_WORDS = 8


@dataclass(frozen=True, slots=True)
class Citation:
    """*quote* is what the document's text holds from *start* to *end*, letter for letter."""

    marker: int
    document_id: str
    filename: str
    page: int | None
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Sentences with markers, and what the markers stand for."""

    text: str
    citations: Sequence[Citation]


@dataclass(frozen=True, slots=True)
class _Candidate:
    passage: Found
    start: int
    end: int
    quote: str
    # The sentence as it is weighed: under its heading, where it has one.
    read: str
    fit: float = 0.0


class Answers:
    """Answers questions from what a reader may read."""

    def __init__(self, database: Database, search: Search, embedder: Embedder) -> None:
        self._database = database
        self._search = search
        self._embedder = embedder

    def answer(self, reader: Reader, question: Question) -> Answer:
        passages = self._search.find(reader, question)
        chosen = chosen_sentences(question.text, passages, self._embedder)
        if not chosen:
            return Answer(NOTHING, ())
        text = " ".join(f"{readable(each.quote)} [{n}]" for n, each in enumerate(chosen, 1))
        with self._database.read(reader.tenant_id) as session:
            citations = [
                Citation(
                    marker=number,
                    document_id=each.passage.document_id,
                    filename=each.passage.filename,
                    page=each.passage.page
                    and document_store.page_at(
                        session, each.passage.document_id, each.passage.generation, each.start
                    ),
                    start=each.start,
                    end=each.end,
                    quote=each.quote,
                )
                for number, each in enumerate(chosen, 1)
            ]
        return Answer(text, citations)


def chosen_sentences(
    question: str, passages: Sequence[Found], embedder: Embedder
) -> list[_Candidate]:
    """The sentences of *passages* that answer *question*, best first; none if none is good."""
    candidates = list(_candidates(passages))
    if not candidates:
        return []
    vectors = embedder.encode([question, *(each.read for each in candidates)])
    closeness = vectors[1:] @ vectors[0]
    asked = set(words(question))
    scored = [
        replace(each, fit=_fit(asked, each, float(near)))
        for each, near in zip(candidates, closeness, strict=True)
    ]
    scored.sort(key=lambda each: -(each.fit + _RANK_WEIGHT * each.passage.score))
    least = max(RELEVANT, NEARLY * scored[0].fit)
    return [each for each in scored if each.fit >= least][:MOST_SENTENCES]


def readable(quote: str) -> str:
    """A quote as running text: its line breaks and bullets are those of a page."""
    return " ".join(unbroken(quote).split()).lstrip("•▪‣◦*#\u2013- ")


def _candidates(passages: Sequence[Found]) -> list[_Candidate]:
    # Passages overlap; the same sentence counts once, for the passage that ranks higher.
    found: dict[tuple[str, int, int], _Candidate] = {}
    for passage in passages:
        spans = sentences(passage.text)
        said = [span for span in spans if not _is_heading(passage.text[slice(*span)])]
        heading = ""
        for start, end in spans:
            quote = passage.text[start:end]
            if said and (start, end) not in said:
                heading = quote
                continue
            place = passage.document_id, passage.start + start, passage.start + end
            read = f"{heading}: {quote}" if heading else quote
            found.setdefault(place, _Candidate(passage, *place[1:], quote, read))
    return list(found.values())


def _fit(asked: set[str], candidate: _Candidate, closeness: float) -> float:
    """How near the sentence is in meaning, and how many of the question's words it says."""
    shared = len(asked.intersection(words(candidate.read))) / max(1, len(asked))
    return closeness + _WORDS_WEIGHT * shared


def _is_heading(quote: str) -> bool:
    """A line that names a thing and says nothing about it is near to every question about it."""
    ended = quote.endswith((".", "!", "?", "。", "…", '"', "”", ")"))
    fact = ":" in quote or "\t" in quote or any(letter.isdigit() for letter in quote)
    return not ended and not fact and len(quote.split()) <= _HEADING_WORDS
