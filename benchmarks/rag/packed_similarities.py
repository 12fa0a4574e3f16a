"""Similarities from packed sentence vectors, as the rag service stores them."""

from collections.abc import Sequence

import numpy as np

from backend.ai.answer_candidates import Candidate
from backend.ai.chunk_statements import AnswerChunk, analyze_chunk
from backend.ai.embedder import Vectors
from backend.ai.embedding import BUILT_IN, MULTILINGUAL, EmbeddingModel, MultilingualEmbedder
from backend.services.rag.domain.embeddings.sentence_models import SCALES, embed_sentences
from backend.services.rag.domain.embeddings.sentence_vectors import (
    average_best,
    pack_vectors,
    unpack_vectors,
)
from backend.services.rag.model import SearchHit


class PackedSimilarities:
    """Embeds, packs and unpacks each sentence once."""

    def __init__(self, embedder: EmbeddingModel) -> None:
        self._embedder = embedder
        is_multilingual = isinstance(embedder, MultilingualEmbedder)
        self._scale = SCALES[MULTILINGUAL if is_multilingual else BUILT_IN]
        self._vectors: dict[str, Vectors] = {}
        self._questions: dict[str, Vectors] = {}

    def compute_similarities(
        self, question: str, candidates: Sequence[Candidate[AnswerChunk]]
    ) -> Sequence[float]:
        cosines = self._compute_cosines(question, [candidate.text for candidate in candidates])
        similarities: list[float] = self._scale.convert(cosines).tolist()
        return similarities

    def score_chunks(self, question: str, hits: Sequence[SearchHit]) -> dict[str, float]:
        """Return the similarity of the best sentences by chunk id, 0 without sentences."""
        scores = {}
        for hit in hits:
            texts = [statement.text_in_context for statement in analyze_chunk(hit).statements]
            cosines = self._compute_cosines(question, texts).tolist() or [0.0]
            scores[hit.chunk_id] = average_best(cosines)
        return scores

    def _compute_cosines(self, question: str, texts: Sequence[str]) -> Vectors:
        missing = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if missing:
            rows = embed_sentences(self._embedder, missing)
            packed = pack_vectors(range(len(missing)), rows)
            self._vectors |= zip(missing, unpack_vectors([packed])[1], strict=True)
        if question not in self._questions:
            self._questions[question] = self._embedder.encode_queries([question])[0]
        vector = self._questions[question]
        return np.array([self._vectors[text] @ vector for text in texts], np.float32)
