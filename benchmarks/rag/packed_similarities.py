"""Similarities from packed sentence vectors, as the rag service stores them."""

from collections.abc import Sequence

import numpy as np

from backend.ai.answer_candidates import Candidate
from backend.ai.chunk_statements import AnswerChunk
from backend.ai.embedder import Vectors
from backend.ai.embedding import BUILT_IN, MULTILINGUAL, EmbeddingModel, MultilingualEmbedder
from backend.services.rag.domain.embeddings.sentence_models import SCALES, embed_sentences
from backend.services.rag.domain.embeddings.sentence_vectors import (
    pack_vectors,
    unpack_vectors,
)


class PackedSimilarities:
    """Embeds, packs and unpacks each sentence once."""

    def __init__(self, embedder: EmbeddingModel) -> None:
        self._embedder = embedder
        is_multilingual = isinstance(embedder, MultilingualEmbedder)
        self._scale = SCALES[MULTILINGUAL if is_multilingual else BUILT_IN]
        self._vectors: dict[str, Vectors] = {}

    def compute_similarities(
        self, question: str, candidates: Sequence[Candidate[AnswerChunk]]
    ) -> Sequence[float]:
        texts = [candidate.text for candidate in candidates]
        missing = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if missing:
            rows = embed_sentences(self._embedder, missing)
            packed = pack_vectors(range(len(missing)), rows)
            self._vectors |= zip(missing, unpack_vectors([packed])[1], strict=True)
        vector = self._embedder.encode_queries([question])[0]
        cosines = np.array([self._vectors[text] @ vector for text in texts], np.float32)
        similarities: list[float] = self._scale.convert(cosines).tolist()
        return similarities
