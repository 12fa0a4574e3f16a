"""Answers of the agent without a language model: sentences of the documents that were found."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Final

from backend.ai.answer_candidates import Candidate
from backend.ai.answer_options import (
    ANSWER_OPTIONS,
    CROSS_LANGUAGE_OPTIONS,
    LEXICAL_OPTIONS,
    MULTILINGUAL_OPTIONS,
    ExtractionOptions,
    get_answer_options,
)
from backend.ai.embedder import Embedder
from backend.ai.extractive_answers import extract_answer
from backend.ai.sentence_ranking import rank_sentences
from backend.ai.sentence_similarities import EmbeddedSimilarities, SentenceSimilarities
from backend.ai.text.quotes import format_passage, format_statement
from backend.ai.text.sentence_ends import ends_without_mark, has_final_punctuation
from backend.ai.text.sentences import split_sentences
from backend.services.agent.model import Chunk

# Lower than in the rag service: the agent has found more chunks and answers more questions with it.
# Measured with `python -m benchmarks.agent.lite_answers`.
_OPTIONS: Final = replace(ANSWER_OPTIONS, min_support=0.67)
# Without term weights, a common word that a sentence lacks counts as much as a rare one.
_MAX_MISSING_ENTITY_SHARE: Final = 0.5
# Chunks are unrelated to the question if all their sentences have less support than this.
RELATED_OPTIONS: Final = replace(
    ANSWER_OPTIONS, min_support=0.3, shared_terms_support=0.4, coverage_weight=0.0
)

_RELATED_OPTIONS: Final = {
    LEXICAL_OPTIONS: replace(LEXICAL_OPTIONS, min_support=0.2),
    MULTILINGUAL_OPTIONS: replace(MULTILINGUAL_OPTIONS, min_support=0.4),
    CROSS_LANGUAGE_OPTIONS: replace(CROSS_LANGUAGE_OPTIONS, min_support=0.2),
}

_SUMMARY_SENTENCES: Final = 4
_ASKS_FOR_SUMMARY: Final = re.compile(
    r"\bsummar|\boverview\b|\bgist\b|\bwhat (?:is|are) .{0,40}\babout\b|\btl;?dr\b", re.IGNORECASE
)


class SearchSimilarities:
    """Similarities that the rag service computed for the query of a search.

    Sentences without a similarity, such as those of a document that was read, are embedded.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedded = EmbeddedSimilarities(embedder)

    def compute_similarities(
        self, question: str, candidates: Sequence[Candidate[Chunk]]
    ) -> Sequence[float]:
        """Return a cosine similarity for the text of each of *candidates*.

        It is the similarity to the query of the search or, for an embedded text, to *question*.
        """
        chunks = {id(candidate.chunk): candidate.chunk for candidate in candidates}
        known = {
            (chunk.document_id, start, end): similarity
            for chunk in chunks.values()
            for start, end, similarity in chunk.similarities
        }
        keys = [(candidate.chunk.document_id, *candidate.position) for candidate in candidates]
        missing = {
            key: item for key, item in zip(keys, candidates, strict=True) if key not in known
        }
        if missing:
            similarities = self._embedded.compute_similarities(question, list(missing.values()))
            known |= zip(missing, similarities, strict=True)
        return [known[key] for key in keys]


def answer_from_chunks(
    similarities: SentenceSimilarities[Chunk],
    question: str,
    chunks: Sequence[Chunk],
    term_weights: Mapping[str, float] | None = None,
) -> str | None:
    """Return the sentences of *chunks* that answer *question*, or None if none has support.

    *term_weights* are the inverse document frequencies of the question's terms. Without them, as
    for a document that was read, each term counts the same.

    A request for a summary is answered with the beginning of the document: the one that the
    request names, or else the best hit.
    """
    if chunks and _ASKS_FOR_SUMMARY.search(question):
        document_id = _find_named_chunk(question, chunks).document_id
        first_chunk = min(
            (chunk for chunk in chunks if chunk.document_id == document_id),
            key=lambda chunk: chunk.start,
        )
        return extract_first_sentences(first_chunk)
    options = _get_options(question, chunks)
    if not term_weights:
        share = max(options.max_missing_entity_share, _MAX_MISSING_ENTITY_SHARE)
        options = replace(options, max_missing_entity_share=share)
    selected = extract_answer(question, chunks, similarities, options, term_weights=term_weights)
    if not selected:
        return None
    # In the order of the chunks, so that sentences that belong together stay together.
    ranks = {id(chunk): rank for rank, chunk in enumerate(chunks)}
    selected.sort(key=lambda sentence: (ranks[id(sentence.chunk)], sentence.start))
    lines = dict.fromkeys(
        format_statement(sentence.chunk.text, sentence.statement) for sentence in selected
    )
    return _join_lines(lines)


def _get_options(question: str, chunks: Sequence[Chunk]) -> ExtractionOptions:
    is_multilingual = bool(chunks) and all(chunk.is_multilingual for chunk in chunks)
    options = get_answer_options(question, chunks, is_multilingual=is_multilingual)
    return _OPTIONS if options is ANSWER_OPTIONS else options


def is_related(
    similarities: SentenceSimilarities[Chunk], question: str, chunks: Sequence[Chunk]
) -> bool:
    """Return True if *chunks* are about the subject of *question*, even without an answer."""
    if _ASKS_FOR_SUMMARY.search(question):
        return True
    options = _RELATED_OPTIONS.get(_get_options(question, chunks), RELATED_OPTIONS)
    ranked = rank_sentences(question, chunks, similarities, options)
    return any(sentence.support >= options.min_support for sentence in ranked)


def extract_first_sentences(chunk: Chunk) -> str:
    """Return the first sentences of *chunk*, as the best summary without a language model."""
    sentences = split_sentences(chunk.text)[:_SUMMARY_SENTENCES]
    return _join_lines(format_passage(sentence.text) for sentence in sentences)


def _find_named_chunk(question: str, chunks: Sequence[Chunk]) -> Chunk:
    """Return the best chunk of a file that *question* names, or else the best chunk."""
    folded_question = question.casefold()
    for chunk in chunks:
        if PurePath(chunk.filename).stem.casefold() in folded_question:
            return chunk
    return chunks[0]


def _join_lines(lines: Iterable[str]) -> str:
    """Join *lines* to a text. A heading or table row gets a full stop, which it lacks.

    In scripts without spaces, where a full stop would be foreign, it gets a line of its own.
    """
    return "".join(f"{line}{_get_separator(line)}" for line in lines).strip()


def _get_separator(line: str) -> str:
    if ends_without_mark(line):
        return "\n"
    return " " if has_final_punctuation(line) else ". "
