"""Find the document sentence that supports a sentence of an answer.

Source references that a model writes are not trusted: they are removed from the text, and a
citation is made only where the words themselves are found in a chunk.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final, Protocol

import numpy as np

from backend.ai.chunk_statements import AnswerChunk, find_chunk_statements
from backend.ai.embedder import Embedder, Vectors
from backend.ai.replies import is_refusal
from backend.ai.text.sentences import Sentence, split_sentences
from backend.ai.text.statements import Statement
from backend.ai.text.terms import extract_content_terms

# A document sentence supports a statement if it contains at least this share of the statement's
# terms, ...
_MIN_SHARED_TERMS: Final = 0.6
# ... or at least one of them and has at least this cosine similarity with the statement.
_MIN_SIMILARITY: Final = 0.75
# Weight of the similarity to question and statement together, in the score that selects the best
# candidate.
_CONTEXT_WEIGHT: Final = 0.5

# Shorter numbers occur in many sentences by chance.
_MIN_NUMBER_LENGTH: Final = 3
# A part of a document sentence is a quote if it has at least this many letters and digits.
_MIN_QUOTED_LETTERS: Final = 20

# Chunks whose sentences are cached: questions find the same chunks again. They take up to 20 kB.
_MAX_KEPT_CHUNKS: Final = 256
_MAX_KEPT_CHARS: Final = 4_000

_NO_LETTER = re.compile(r"[\W_]+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_BRACKETED_NUMBER = re.compile(r"(?<!\w)(\w++)[^\w\[\]]{0,4}\[\s?(\d{1,4}(?:\s?,\s?\d{1,4})*)\s?\]")


class CitableChunk(AnswerChunk, Protocol):
    """A part of a document with the file name and the page for a citation."""

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


class _Candidate:
    """A sentence or table row that can be cited. Its terms and numbers are computed on demand."""

    def __init__(self, chunk: CitableChunk, statement: Statement) -> None:
        self.chunk = chunk
        self.statement = statement
        self.description = statement.description
        self.vector: Vectors | None = None

    @cached_property
    def terms(self) -> frozenset[str]:
        return extract_content_terms(self.description)

    @cached_property
    def numbers(self) -> frozenset[str]:
        return _extract_numbers(self.description)


class CitationFinder:
    """Finds citations for an answer in the chunks that it may be based on."""

    def __init__(self, embedder: Embedder, question: str) -> None:
        self._embedder = embedder
        self._question = question
        self._candidates: list[_Candidate] = []
        # The candidates by the letters and digits of their text.
        self._candidates_by_letters: dict[str, _Candidate] = {}
        # Headings support nothing but an answer that quotes them, such as the title of a document.
        self._headings_by_letters: dict[str, _Candidate] = {}
        self._known_positions: set[tuple[str, int, int]] = set()
        # Numbers in brackets in the chunks, each with the word before it.
        self._bracketed_numbers: set[tuple[str, str]] = set()
        # The citations so far, in the order of their markers 1, 2, 3, …
        self.citations: list[Citation] = []

    def add_chunks(self, chunks: Sequence[CitableChunk]) -> None:
        """Make the sentences of *chunks* available for citations."""
        for chunk in chunks:
            self._bracketed_numbers |= _find_bracketed_numbers(chunk.text)
            statements = find_chunk_statements(chunk)
            self._add_headings(chunk, statements)
            for statement in statements:
                # Chunks overlap, so two chunks may contain the same sentence.
                position = (
                    chunk.document_id,
                    chunk.start + statement.start,
                    chunk.start + statement.end,
                )
                if position not in self._known_positions:
                    self._known_positions.add(position)
                    candidate = _Candidate(chunk, statement)
                    self._candidates.append(candidate)
                    self._candidates_by_letters.setdefault(
                        _extract_letters(candidate.description), candidate
                    )

    def _add_headings(self, chunk: CitableChunk, statements: Sequence[Statement]) -> None:
        """Make the sentences of *chunk* that are not *statements* available for quotes."""
        starts = {statement.start for statement in statements}
        for sentence, letters in _split_chunk(chunk.text):
            if sentence.start not in starts and len(letters) >= _MIN_QUOTED_LETTERS:
                heading = Statement(sentence.text, sentence.start, sentence.end)
                self._headings_by_letters.setdefault(letters, _Candidate(chunk, heading))

    def __bool__(self) -> bool:
        """True if there is any sentence that can be cited."""
        return bool(self._candidates)

    def cite_sentence(self, text: str) -> int | None:
        """Return the marker of the citation that supports *text*, or None if no chunk does.

        A document sentence supports *text* if it contains all numbers of *text* and either most of
        its terms, or some of its terms and nearly the same meaning. The meaning is not compared if
        *text* is a quote. So does the only sentence with a number that the question does not
        contain: the answer may be in another language than the document.
        """
        if is_refusal(text):
            return None
        terms = extract_content_terms(text)
        if not self._candidates or not any(len(term) > 1 for term in terms):
            return None
        numbers = _extract_numbers(text)
        candidate = (
            self._find_quoted(text, numbers)
            or self._find_similar(text, terms, numbers)
            or self._find_by_number(terms, numbers)
        )
        return None if candidate is None else self._get_or_add_citation(candidate).marker

    def _find_quoted(self, text: str, numbers: frozenset[str]) -> _Candidate | None:
        """Return the candidate that *text* quotes, or None.

        Punctuation, emphasis marks and hyphens at line breaks may differ.
        """
        letters = _extract_letters(text)
        candidate = self._candidates_by_letters.get(letters)
        if candidate is None and len(letters) >= _MIN_QUOTED_LETTERS:
            candidate = next(
                (item for key, item in self._candidates_by_letters.items() if letters in key),
                self._headings_by_letters.get(letters),
            )
        # Letters alone do not distinguish 1.5 from 15.
        return candidate if candidate and numbers <= candidate.numbers else None

    def _find_similar(
        self, text: str, terms: frozenset[str], numbers: frozenset[str]
    ) -> _Candidate | None:
        """Return the best candidate with most of *terms* or a similar meaning, or None."""
        candidates = [
            candidate
            for candidate in self._candidates
            if numbers <= candidate.numbers and terms & candidate.terms
        ]
        if not candidates:
            return None
        # A short answer such as "Three months." has little meaning without the question.
        vectors = self._embedder.encode([text, f"{self._question} {text}"])
        similarities = (self._embed_candidates(candidates) @ vectors.T).tolist()
        best: _Candidate | None = None
        best_score = 0.0
        for candidate, (similarity, context_similarity) in zip(
            candidates, similarities, strict=True
        ):
            shared = len(terms & candidate.terms) / len(terms)
            if shared < _MIN_SHARED_TERMS and similarity < _MIN_SIMILARITY:
                continue
            score = max(shared, similarity) + _CONTEXT_WEIGHT * context_similarity
            if best is None or score > best_score:
                best, best_score = candidate, score
        return best

    def _find_by_number(self, terms: frozenset[str], numbers: frozenset[str]) -> _Candidate | None:
        """Return the only candidate with all *numbers*, one of which is not in the question.

        It must contain a word of *terms* besides, unless that number is long.
        """
        new_numbers = numbers - _extract_numbers(self._question)
        candidates = [item for item in self._candidates if numbers <= item.numbers]
        if not new_numbers or len(candidates) != 1:
            return None
        is_distinctive = any(len(number) >= _MIN_NUMBER_LENGTH for number in new_numbers)
        words = terms - numbers
        return candidates[0] if is_distinctive or words & candidates[0].terms else None

    def _embed_candidates(self, candidates: Sequence[_Candidate]) -> Vectors:
        """Return the vectors of *candidates*. Each is embedded once."""
        missing = [candidate for candidate in candidates if candidate.vector is None]
        if missing:
            vectors = self._embedder.encode([candidate.description for candidate in missing])
            for candidate, vector in zip(missing, vectors, strict=True):
                candidate.vector = vector
        rows: Vectors = np.stack([item.vector for item in candidates if item.vector is not None])
        return rows

    def is_bracket_of_text(self, text: str) -> bool:
        """Return True if *text* ends with a word and a number in brackets as in a chunk."""
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


def _split_chunk(text: str) -> Sequence[tuple[Sentence, str]]:
    """Return the sentences of *text*, each with its letters and digits."""
    return _split(text) if len(text) > _MAX_KEPT_CHARS else _split_once(text)


def _split(text: str) -> Sequence[tuple[Sentence, str]]:
    return [(sentence, _extract_letters(sentence.text)) for sentence in split_sentences(text)]


_split_once = lru_cache(maxsize=_MAX_KEPT_CHUNKS)(_split)


def _find_bracketed_numbers(text: str) -> set[tuple[str, str]]:
    """Return the numbers in brackets in *text*, each with the word before it."""
    return {(match[1].casefold(), match[2]) for match in _BRACKETED_NUMBER.finditer(text)}


def _extract_letters(text: str) -> str:
    """Return the letters and digits of *text*, in lower case."""
    return _NO_LETTER.sub("", text.casefold())


def _extract_numbers(text: str) -> frozenset[str]:
    """Return the numbers of *text* without thousands separators."""
    return frozenset(number.replace(",", "") for number in _NUMBER.findall(text))
