"""Similarities of a question with the statements of document chunks."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from backend.ai.answer_candidates import Candidate
from backend.ai.chunk_statements import AnswerChunk
from backend.ai.embedder import Embedder

ScoredChunkT = TypeVar("ScoredChunkT", bound=AnswerChunk, contravariant=True)


class SentenceSimilarities(Protocol[ScoredChunkT]):
    """Source of the similarities of a question with statements of chunks."""

    def compute_similarities(
        self, question: str, candidates: Sequence[Candidate[ScoredChunkT]]
    ) -> Sequence[float]:
        """Return the cosine similarity of *question* with the text of each of *candidates*."""
        ...


class EmbeddedSimilarities:
    """Embeds question and statements for each call to compute their similarities."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def compute_similarities(
        self, question: str, candidates: Sequence[Candidate[AnswerChunk]]
    ) -> Sequence[float]:
        vectors = self._embedder.encode([question, *(candidate.text for candidate in candidates)])
        similarities: list[float] = (vectors[1:] @ vectors[0]).tolist()
        return similarities
