"""Find the document sentence that supports a sentence of an answer.

Source references that a model writes are not trusted: they are removed from the text, and a
citation is made only where the words themselves are found in a chunk.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from backend.ai.chunk_statements import AnswerChunk, find_chunk_statements
from backend.ai.embedder import Embedder
from backend.ai.text.statements import Statement
from backend.ai.text.terms import extract_content_terms

# A document sentence supports a statement if it contains this share of the statement's terms, ...
_MIN_SHARED_TERMS: Final = 0.6
# ... or at least one of them and this cosine similarity.
_MIN_SIMILARITY: Final = 0.75
# Weight of the similarity to question and statement together, which selects the best candidate.
_CONTEXT_WEIGHT: Final = 0.5

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_BRACKETED_NUMBER = re.compile(r"(?<!\w)(\w++)[^\w\[\]]{0,4}\[\s?(\d{1,4}(?:\s?,\s?\d{1,4})*)\s?\]")


class CitableChunk(AnswerChunk, Protocol):
    """A part of a document with the properties of a citation."""

    @property
    def filename(self) -> str: ...
    @property
    def page(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Citation:
    """A reference to a document. `quote` is exactly the document's text from `start` to `end`."""

    marker: int
    document_id: str
    filename: str
    page: int | None
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A sentence or table row that can be cited."""

    chunk: CitableChunk
    statement: Statement
    terms: frozenset[str]
    numbers: frozenset[str]
    vector: NDArray[np.float32]


class CitationFinder:
    """Finds citations for an answer in the chunks that it may be based on."""

    def __init__(self, embedder: Embedder, question: str) -> None:
        self._embedder = embedder
        self._question = question
        self._candidates: list[_Candidate] = []
        self._known_positions: set[tuple[str, int, int]] = set()
        # Numbers in brackets in the chunks, each with the word before it.
        self._bracketed_numbers: set[tuple[str, str]] = set()
        # The citations so far, in the order of their markers 1, 2, 3, …
        self.citations: list[Citation] = []

    def add_chunks(self, chunks: Sequence[CitableChunk]) -> None:
        """Add the sentences of *chunks* to the ones that can be cited."""
        added: list[tuple[CitableChunk, Statement]] = []
        for chunk in chunks:
            self._bracketed_numbers |= _find_bracketed_numbers(chunk.text)
            for statement in find_chunk_statements(chunk):
                # Chunks overlap, so two chunks may contain the same sentence.
                position = (
                    chunk.document_id,
                    chunk.start + statement.start,
                    chunk.start + statement.end,
                )
                if position not in self._known_positions:
                    self._known_positions.add(position)
                    added.append((chunk, statement))
        if not added:
            return
        vectors = self._embedder.encode([statement.description for _, statement in added])
        for (chunk, statement), vector in zip(added, vectors, strict=True):
            terms = extract_content_terms(statement.description)
            numbers = _extract_numbers(statement.description)
            self._candidates.append(_Candidate(chunk, statement, terms, numbers, vector))

    def __bool__(self) -> bool:
        """True if there is any sentence that can be cited."""
        return bool(self._candidates)

    def cite_sentence(self, text: str) -> int | None:
        """Return the marker of the citation that supports *text*, or None if no chunk does.

        A document sentence supports *text* if it contains all of its numbers and either most of
        its terms, or some of them and nearly the same meaning.
        """
        terms, numbers = extract_content_terms(text), _extract_numbers(text)
        if not self._candidates or not any(len(term) > 1 for term in terms):
            return None
        # A short answer such as "Three months." has little meaning without the question.
        vectors = self._embedder.encode([text, f"{self._question} {text}"])
        best: _Candidate | None = None
        best_score = 0.0
        for candidate in self._candidates:
            if not numbers <= candidate.numbers:
                continue
            shared = len(terms & candidate.terms) / len(terms)
            similarity = float(vectors[0] @ candidate.vector)
            if shared < _MIN_SHARED_TERMS and not (shared and similarity >= _MIN_SIMILARITY):
                continue
            context_similarity = float(vectors[1] @ candidate.vector)
            score = max(shared, similarity) + _CONTEXT_WEIGHT * context_similarity
            if best is None or score > best_score:
                best, best_score = candidate, score
        return None if best is None else self._get_or_add_citation(best).marker

    def is_bracket_of_text(self, text: str) -> bool:
        """Return True if *text* ends with a number in brackets that a chunk has after this word."""
        return bool(_find_bracketed_numbers(text) & self._bracketed_numbers)

    def _get_or_add_citation(self, candidate: _Candidate) -> Citation:
        chunk, statement = candidate.chunk, candidate.statement
        start = chunk.start + statement.start
        for citation in self.citations:
            if (citation.document_id, citation.start) == (chunk.document_id, start):
                return citation
        citation = Citation(
            marker=len(self.citations) + 1,
            document_id=chunk.document_id,
            filename=chunk.filename,
            page=chunk.page,
            start=start,
            end=start + len(statement.text),
            quote=statement.text,
        )
        self.citations.append(citation)
        return citation


def _find_bracketed_numbers(text: str) -> set[tuple[str, str]]:
    """Return the numbers in brackets in *text*, each with the word before it."""
    return {(match[1].casefold(), match[2]) for match in _BRACKETED_NUMBER.finditer(text)}


def _extract_numbers(text: str) -> frozenset[str]:
    """Return the numbers of *text* without thousands separators."""
    return frozenset(number.replace(",", "") for number in _NUMBER.findall(text))
