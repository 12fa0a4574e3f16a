"""Select the sentences of document chunks that answer a question, without a language model.

Every sentence gets two values. Its *score* says how well it answers in comparison to the other
sentences: similarity to the question, shared terms, and a number or name where the question asks
for one. Its *support* says how certain it is that the chunk is about the question at all. Weights
and thresholds are options of the caller, because they depend on how the chunks were retrieved.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from backend.ai.embedder import Embedder
from backend.ai.text.sentences import MAX_SENTENCE_CHARS, Sentence, split_sentences
from backend.ai.text.terms import extract_terms

_MAX_HEADING_WORDS: Final = 8
# A chunk that contains only a related form of a term, such as *resurfacing* for *surface*, covers
# this share of it.
_RELATED_TERM_COVERAGE: Final = 0.7
# Terms of the form of a question. A chunk that answers it need not contain them.
_QUESTION_TERMS: Final = frozenset(
    extract_terms(
        "many much kind kinds type types sort name names named called tell me about give list"
        " describe explain please know find show also any some main exactly more most mean used"
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
_SENTENCE_ENDINGS: Final = (".", "!", "?", "。", "…", '"', "”", ")")


class AnswerChunk(Protocol):
    """A part of a document: `text` is the document's text from position `start` on."""

    @property
    def document_id(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def text(self) -> str: ...


ChunkT = TypeVar("ChunkT", bound=AnswerChunk)


@dataclass(frozen=True, slots=True)
class ExtractionOptions:
    """Weights and thresholds of a caller. They were measured with the benchmark it names.

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
    # Sentences with fewer distinct terms are not used.
    min_terms: int = 0
    # Longer sentences are cut at white space.
    max_sentence_chars: int = MAX_SENTENCE_CHARS


@dataclass(frozen=True, slots=True)
class ScoredSentence(Generic[ChunkT]):
    """A sentence of a chunk: `quote` is the document's text from `start` to `end`."""

    chunk: ChunkT
    start: int
    end: int
    quote: str
    score: float
    support: float


@dataclass(frozen=True, slots=True)
class _Candidate(Generic[ChunkT]):
    """A sentence before scoring. `text_with_heading` is what is compared with the question."""

    chunk: ChunkT
    chunk_index: int
    sentence: Sentence
    text_with_heading: str


def extract_answer(
    question: str,
    chunks: Sequence[ChunkT],
    embedder: Embedder,
    options: ExtractionOptions,
    *,
    term_weights: Mapping[str, float] | None = None,
    get_context: Callable[[ChunkT], str] | None = None,
) -> list[ScoredSentence[ChunkT]]:
    """Return the sentences that answer *question*, best first; none if support is too low.

    See `rank_sentences` for the arguments.
    """
    ranked = rank_sentences(
        question, chunks, embedder, options, term_weights=term_weights, get_context=get_context
    )
    return select_sentences(ranked, options)


def rank_sentences(
    question: str,
    chunks: Sequence[ChunkT],
    embedder: Embedder,
    options: ExtractionOptions,
    *,
    term_weights: Mapping[str, float] | None = None,
    get_context: Callable[[ChunkT], str] | None = None,
) -> list[ScoredSentence[ChunkT]]:
    """Return all sentences of *chunks*, best first.

    Args:
        question: the question.
        chunks: search hits, best first.
        embedder: embeds the question and the sentences.
        options: weights and thresholds.
        term_weights: inverse document frequencies of the question's terms. A missing term has
            weight 1. A rare term counts most: a chunk without it is less likely to answer.
        get_context: returns text that belongs to a chunk besides its own, such as its title.
    """
    candidates = _find_candidates(chunks, options)
    if not candidates:
        return []
    texts = [candidate.text_with_heading for candidate in candidates]
    vectors = embedder.encode([question, *texts])
    similarities = vectors[1:] @ vectors[0]
    question_terms = frozenset(extract_terms(question))
    coverages = [0.0] * len(chunks)
    if options.coverage_weight:
        chunk_texts = (
            f"{get_context(chunk)}\n{chunk.text}" if get_context else chunk.text for chunk in chunks
        )
        coverages = [
            _weighted_coverage(question_terms, text, term_weights or {}) for text in chunk_texts
        ]
    ranked: list[tuple[float, ScoredSentence[ChunkT]]] = []
    for candidate, similarity in zip(candidates, map(float, similarities), strict=True):
        sentence_terms = question_terms.intersection(extract_terms(candidate.text_with_heading))
        shared = len(sentence_terms) / max(1, len(question_terms))
        answer_type = _answer_type_match(question, candidate.sentence.text)
        scored = ScoredSentence(
            chunk=candidate.chunk,
            start=candidate.chunk.start + candidate.sentence.start,
            end=candidate.chunk.start + candidate.sentence.end,
            quote=candidate.sentence.text,
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
        )
        rank = 1 - candidate.chunk_index / len(chunks)
        ranked.append((scored.score + options.chunk_rank_weight * rank, scored))
    ranked.sort(key=lambda item: -item[0])
    return [scored for _, scored in ranked]


def select_sentences(
    ranked: Sequence[ScoredSentence[ChunkT]], options: ExtractionOptions
) -> list[ScoredSentence[ChunkT]]:
    """Return the sentences of *ranked* for the answer; none if the first lacks support."""
    if not ranked or ranked[0].support < options.min_support:
        return []
    best_score = ranked[0].score
    min_score = max(options.min_score_ratio * best_score, best_score - options.max_score_gap)
    selected = [
        sentence
        for sentence in ranked
        if sentence.score >= min_score and sentence.support >= options.min_support
    ]
    return selected[: options.max_sentences]


def _find_candidates(
    chunks: Sequence[ChunkT], options: ExtractionOptions
) -> list[_Candidate[ChunkT]]:
    """Return the sentences that can answer, with the heading above them.

    Chunks overlap. A sentence in two of them counts once, for the chunk that ranks higher.
    """
    candidates: dict[tuple[str, int, int], _Candidate[ChunkT]] = {}
    for index, chunk in enumerate(chunks):
        sentences = split_sentences(chunk.text, options.max_sentence_chars)
        headings = {sentence for sentence in sentences if _is_heading(sentence.text)}
        if len(headings) == len(sentences):
            headings = set()  # A chunk of short lines, such as a list, has no headings.
        heading = ""
        for sentence in sentences:
            if sentence in headings:
                heading = sentence.text
                continue
            position = (chunk.document_id, chunk.start + sentence.start, chunk.start + sentence.end)
            if position in candidates or _count_terms(sentence.text) < options.min_terms:
                continue
            text = f"{heading}: {sentence.text}" if heading else sentence.text
            candidates[position] = _Candidate(chunk, index, sentence, text)
    return list(candidates.values())


def _count_terms(text: str) -> int:
    return len(set(extract_terms(text)))


def _is_heading(line: str) -> bool:
    """Return True if *line* names a subject without a statement about it.

    A heading resembles every question about its section and answers none.
    """
    has_fact = ":" in line or "\t" in line or any(char.isdigit() for char in line)
    is_finished = line.endswith(_SENTENCE_ENDINGS)
    return not is_finished and not has_fact and len(line.split()) <= _MAX_HEADING_WORDS


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


def _term_coverage(term: str, text_terms: AbstractSet[str]) -> float:
    if term in text_terms:
        return 1.0
    if len(term) < 5 or not term.isalpha():
        return 0.0
    root = term[: max(4, len(term) - 3)]
    is_related = any(text_term.startswith(root) for text_term in text_terms)
    return _RELATED_TERM_COVERAGE if is_related else 0.0
