"""Select the sentences of document chunks that answer a question, without a language model.

Every sentence gets two values. Its *score* says how well it answers in comparison to the other
sentences: similarity to the question, shared terms, and a number or name where the question asks
for one. Its *support* says how certain it is that the chunk is about the question at all. Weights
and thresholds are options, so that benchmarks can compare them.
"""

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from backend.ai.embedder import Embedder
from backend.ai.text.compounds import contains_part, cover_compound, is_long_word
from backend.ai.text.sentences import MAX_SENTENCE_CHARS
from backend.ai.text.statements import Statement, find_statements
from backend.ai.text.terms import extract_terms

# Rows of a table that answer a question together.
_MAX_ROWS: Final = 10
# A chunk that contains only a related form of a term, such as *resurfacing* for *surface*, covers
# this share of it.
_RELATED_TERM_COVERAGE: Final = 0.7
# A chunk that contains a compound with a term covers this share of it.
_COMPOUND_COVERAGE: Final = 0.9
# Terms of the form of a question. A chunk that answers it need not contain them.
_QUESTION_TERMS: Final = frozenset(
    extract_terms(
        "many much kind kinds type types sort name names named called tell me about give list"
        " describe explain please know find show also any some main exactly more most mean used"
        " wer wem wen wessen was wie wo wann warum wieso wohin woher wieviel viel viele welche"
        " welcher welches welchen welchem gibt bekommt ist sind wird der das"
        " qui que quoi quel quelle quels quelles combien quand où pourquoi est sont"
        " quién quiénes qué cuál cuáles cuándo dónde cómo cuánto cuánta cuántos cuántas es"
        " chi che quale quali quando dove quanto quanta quanti quante sono"
        " quem qual quais onde quanto wat wie waar wanneer welk welke hoeveel"
    )
)
_ASKS_FOR_NUMBER = re.compile(
    r"\bhow (many|much|long|old|far|tall|high|often|large|big|deep|wide|fast)\b|\bwhen\b"
    r"|\bwhat (year|percentage|percent|number|date|day|month|time|price)\b"
    r"|\bin (which|what) year\b|\bwie (viel|lang|hoch|oft|alt|weit)|\bwann\b|\bcombien\b|\bquand\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"\d|\b(one|two|three|four|five|six|seven|eight|nine|ten|dozen|hundred|thousand|million"
    r"|billion|half|third|first|second|once|twice)\b",
    re.IGNORECASE,
)
_ASKS_FOR_PERSON = re.compile(r"\b(who|whom|whose|wer|wem|wen|qui)\b", re.IGNORECASE)
_NAME = re.compile(r"\b[^\W\d_a-z][^\W\d_]+")


class AnswerChunk(Protocol):
    """A part of a document: `text` is the document's text from position `start` on.

    `section` is the heading of the section that contains its start, and `headings` are those
    within it. `table_header` is the header row of the table that it continues, or "".
    """

    @property
    def document_id(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def section(self) -> str: ...
    @property
    def headings(self) -> Sequence[str]: ...
    @property
    def table_header(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def text(self) -> str: ...


ChunkT = TypeVar("ChunkT", bound=AnswerChunk)


@dataclass(frozen=True, slots=True)
class ExtractionOptions:
    """Weights and thresholds of the selection.

    With *similarity* the cosine of question and sentence, and *shared* the share of the question's
    terms that the sentence contains:

        score   = similarity + shared_terms_weight * shared + answer_type_weight * answer type
        support = similarity + shared_terms_support * shared + coverage_weight * coverage

    *answer type* is 1 if the sentence contains the number or name that the question asks for, 0 if
    it does not, and 0.5 if the question asks for neither. *coverage* is the weighted share of the
    question's terms that the whole chunk contains. Sentences are ordered by
    score + chunk_rank_weight * rank, where *rank* falls from 1 for the first chunk towards 0.
    """

    # The first sentence, and every further one, needs this support.
    min_support: float
    # A further sentence needs this share of the first sentence's score, ...
    min_score_ratio: float = 0.0
    # ... and a score that is at most this much lower.
    max_score_gap: float = float("inf")
    max_sentences: int = 3
    shared_terms_weight: float = 0.0
    answer_type_weight: float = 0.0
    chunk_rank_weight: float = 0.0
    shared_terms_support: float = 0.0
    coverage_weight: float = 0.0
    # Longer sentences are cut at white space.
    max_sentence_chars: int = MAX_SENTENCE_CHARS


# Measured with `python -m benchmarks.rag.answers`, see ADR 21, and with
# `python -m benchmarks.agent.lite_answers`: one set of values serves both services, so that they
# answer the same questions.
ANSWER_OPTIONS: Final = ExtractionOptions(
    min_support=0.74,
    min_score_ratio=0.7,
    max_score_gap=0.25,
    shared_terms_weight=0.5,
    answer_type_weight=0.1,
    chunk_rank_weight=0.3,
    coverage_weight=0.7,
)


@dataclass(frozen=True, slots=True)
class ScoredSentence(Generic[ChunkT]):
    """A statement of a chunk: `quote` is the document's text from `start` to `end`.

    `own_terms` are the terms of the question that it contains itself, without the heading and the
    names of columns.
    """

    chunk: ChunkT
    statement: Statement
    score: float
    support: float
    own_terms: AbstractSet[str]

    @property
    def start(self) -> int:
        return self.chunk.start + self.statement.start

    @property
    def end(self) -> int:
        return self.chunk.start + self.statement.end

    @property
    def quote(self) -> str:
        return self.statement.text


@dataclass(frozen=True, slots=True)
class _Candidate(Generic[ChunkT]):
    """A statement before scoring."""

    chunk: ChunkT
    chunk_index: int
    statement: Statement


def extract_answer(
    question: str,
    chunks: Sequence[ChunkT],
    embedder: Embedder,
    options: ExtractionOptions,
    *,
    term_weights: Mapping[str, float] | None = None,
) -> list[ScoredSentence[ChunkT]]:
    """Return the sentences that answer *question*, best first; none if support is too low.

    See `rank_sentences` for the arguments.
    """
    ranked = rank_sentences(question, chunks, embedder, options, term_weights=term_weights)
    return select_sentences(ranked, options)


def rank_sentences(
    question: str,
    chunks: Sequence[ChunkT],
    embedder: Embedder,
    options: ExtractionOptions,
    *,
    term_weights: Mapping[str, float] | None = None,
) -> list[ScoredSentence[ChunkT]]:
    """Return all sentences of *chunks*, best first.

    Args:
        question: the question.
        chunks: search hits, best first.
        embedder: embeds the question and the sentences.
        options: weights and thresholds.
        term_weights: inverse document frequencies of the question's terms. A missing term has
            weight 1. A rare term counts most: a chunk without it is less likely to answer.
    """
    candidates = _find_candidates(chunks, options)
    if not candidates:
        return []
    texts = [candidate.statement.text_in_context for candidate in candidates]
    vectors = embedder.encode([question, *texts])
    similarities = vectors[1:] @ vectors[0]
    question_terms = frozenset(extract_terms(question))
    coverages = [0.0] * len(chunks)
    if options.coverage_weight:
        chunk_texts = (
            "\n".join((chunk.title, chunk.section, chunk.table_header, chunk.text))
            for chunk in chunks
        )
        coverages = [
            _weighted_coverage(question_terms, text, term_weights or {}) for text in chunk_texts
        ]
    ranked: list[tuple[float, ScoredSentence[ChunkT]]] = []
    for candidate, text, similarity in zip(
        candidates, texts, map(float, similarities), strict=True
    ):
        shared = len(_find_shared_terms(question_terms, text)) / max(1, len(question_terms))
        statement = candidate.statement
        answer_type = _answer_type_match(question, statement.text)
        scored = ScoredSentence(
            chunk=candidate.chunk,
            statement=statement,
            score=(
                similarity
                + options.shared_terms_weight * shared
                + options.answer_type_weight * answer_type
            ),
            support=(
                similarity
                + options.shared_terms_support * shared
                + options.coverage_weight * coverages[candidate.chunk_index]
            ),
            own_terms=_find_shared_terms(question_terms, statement.text),
        )
        rank = 1 - candidate.chunk_index / len(chunks)
        ranked.append((scored.score + options.chunk_rank_weight * rank, scored))
    ranked.sort(key=lambda item: -item[0])
    return [scored for _, scored in ranked]


def select_sentences(
    ranked: Sequence[ScoredSentence[ChunkT]], options: ExtractionOptions
) -> list[ScoredSentence[ChunkT]]:
    """Return the sentences of *ranked* for the answer; none if the first lacks support.

    Of a table, only the rows that contain the same terms of the question are selected.
    """
    if not ranked or ranked[0].support < options.min_support:
        return []
    best_score = ranked[0].score
    min_score = max(options.min_score_ratio * best_score, best_score - options.max_score_gap)
    selected = [
        sentence
        for sentence in ranked
        if sentence.score >= min_score and sentence.support >= options.min_support
    ]
    selected = [sentence for sentence in selected if not _is_heading_of(sentence, selected)]
    if not selected[0].statement.cells:
        return _drop_other_rows(selected)[: options.max_sentences]
    rows = [sentence for sentence in selected if sentence.statement.cells]
    return _drop_other_rows(rows)[:_MAX_ROWS]


def _is_heading_of(
    sentence: ScoredSentence[ChunkT], selected: Sequence[ScoredSentence[ChunkT]]
) -> bool:
    """Return True if *sentence* is the heading of a selected one that has terms of the question."""
    return sentence.statement.is_possible_heading and any(
        other.statement.heading == sentence.quote and other.own_terms - sentence.own_terms
        for other in selected
    )


def _drop_other_rows(selected: Sequence[ScoredSentence[ChunkT]]) -> list[ScoredSentence[ChunkT]]:
    """Return *selected* without the rows that contain fewer terms of the question than the first.

    Without such a term, only the first row remains.
    """
    first_row = next((sentence for sentence in selected if sentence.statement.cells), None)
    return [
        sentence
        for sentence in selected
        if not sentence.statement.cells
        or sentence is first_row
        or (first_row and first_row.own_terms and first_row.own_terms <= sentence.own_terms)
    ]


def _find_candidates(
    chunks: Sequence[ChunkT], options: ExtractionOptions
) -> list[_Candidate[ChunkT]]:
    """Return the statements of *chunks*.

    Chunks overlap. A statement in two of them counts once, for the chunk that ranks higher.
    """
    candidates: dict[tuple[str, int, int], _Candidate[ChunkT]] = {}
    for index, chunk in enumerate(chunks):
        for statement in find_chunk_statements(chunk, options.max_sentence_chars):
            start, end = chunk.start + statement.start, chunk.start + statement.end
            position = (chunk.document_id, start, end)
            if position not in candidates:
                candidates[position] = _Candidate(chunk, index, statement)
    return list(candidates.values())


def find_chunk_statements(
    chunk: AnswerChunk, max_chars: int = MAX_SENTENCE_CHARS
) -> list[Statement]:
    """Return the sentences and table rows of *chunk* that can answer. Headings cannot."""
    return find_statements(
        chunk.text,
        max_chars,
        titles=frozenset((chunk.title, chunk.section, *chunk.headings)),
        table_header=chunk.table_header,
    )


def _answer_type_match(question: str, sentence: str) -> float:
    """Return 1 if *sentence* contains the number or new name that is asked for, 0 if it does not.

    Return 0.5 if the question asks for neither.
    """
    if _ASKS_FOR_NUMBER.search(question):
        return float(bool(_NUMBER.search(sentence)))
    if _ASKS_FOR_PERSON.search(question):
        folded_question = question.casefold()
        # Skip the first word: it is capitalised in any case.
        names = _NAME.finditer(sentence, 1)
        return float(any(name.group().casefold() not in folded_question for name in names))
    return 0.5


def _weighted_coverage(
    question_terms: AbstractSet[str], text: str, term_weights: Mapping[str, float]
) -> float:
    """Return the share of the question's terms that *text* contains, by their weights."""
    required_terms = (question_terms - _QUESTION_TERMS) or question_terms
    text_terms = set(extract_terms(text))
    total = sum(term_weights.get(term, 1.0) for term in required_terms)
    covered = sum(
        term_weights.get(term, 1.0) * _term_coverage(term, text_terms) for term in required_terms
    )
    return covered / total if total else 0.0


def _find_shared_terms(question_terms: AbstractSet[str], text: str) -> AbstractSet[str]:
    """Return the terms of the question that *text* contains, also as parts of compounds."""
    text_terms = frozenset(extract_terms(text))
    return {
        term for term in question_terms if term in text_terms or _is_part_of_any(term, text_terms)
    }


def _is_part_of_any(term: str, text_terms: AbstractSet[str]) -> bool:
    return any(contains_part(text_term, term) for text_term in text_terms)


def _term_coverage(term: str, text_terms: AbstractSet[str]) -> float:
    if term in text_terms:
        return 1.0
    if _is_part_of_any(term, text_terms):
        return _COMPOUND_COVERAGE
    if is_long_word(term) and (share := cover_compound(term, text_terms)):
        return _COMPOUND_COVERAGE * share
    if len(term) < 5 or not term.isalpha():
        return 0.0
    root = term[: max(4, len(term) - 3)]
    is_related = any(text_term.startswith(root) for text_term in text_terms)
    return _RELATED_TERM_COVERAGE if is_related else 0.0
