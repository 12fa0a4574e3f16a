"""Similarities of questions with sentences, from vectors that were stored in the background.

Vectors are found by a hash of the sentence's text. A sentence has no stored vector if its document
is new, or if the question identifies a table row as a header, which changes the text of the rows.
It is then embedded during the request.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backend.ai.answer_candidates import Candidate, find_candidates
from backend.ai.answer_options import ANSWER_OPTIONS
from backend.ai.answer_types import strip_source_phrase
from backend.ai.embedder import Vectors
from backend.ai.embedding import DIMENSIONS, MULTILINGUAL
from backend.chassis.database.sessions import Database
from backend.services.rag.domain.embeddings.query_vectors import QueryVectors
from backend.services.rag.domain.embeddings.sentence_models import (
    SentenceModel,
    SentenceModels,
    embed_sentences,
)
from backend.services.rag.model import SearchHit, SentenceSpan
from backend.services.rag.store import sentence_vectors as store
from backend.services.rag.store.sentence_vectors import SentenceVectors

_MAX_INT8 = 127


class StoredSimilarities:
    """Similarities of the sentences of search hits. Shared between threads."""

    def __init__(
        self, database: Database, models: SentenceModels, query_vectors: QueryVectors
    ) -> None:
        """*database* sees all tenants' rows: the search has checked access to the hits."""
        self._database = database
        self._models = models
        self._query_vectors = query_vectors

    def for_tenant(self, tenant_id: str) -> "TenantSimilarities":
        """Return the similarities under the model of the tenant's sentences."""
        return TenantSimilarities(
            self._database, self._models.get_model(tenant_id), self._query_vectors
        )


class TenantSimilarities:
    """Similarities of the sentences of search hits in the documents of one tenant."""

    def __init__(
        self, database: Database, model: SentenceModel, query_vectors: QueryVectors
    ) -> None:
        self._database = database
        self._model = model
        self._query_vectors = query_vectors

    @property
    def is_multilingual(self) -> bool:
        """True if the model knows other languages than English."""
        return self._model.name == MULTILINGUAL

    def compute_similarities(
        self, question: str, candidates: Sequence[Candidate[SearchHit]]
    ) -> Sequence[float]:
        """Return the similarity of *question* with the text of each of *candidates*.

        It is a cosine similarity on the scale of the model for English.
        """
        if not candidates:
            return []
        vector = self._query_vectors.embed_query(
            self._model.name, question, self._model.embedder.encode_queries
        )
        known = self._compute_stored(vector, {item.chunk.chunk_id for item in candidates})
        hashes = [hash_text(candidate.text) for candidate in candidates]
        missing = {
            text_hash: candidate.text
            for text_hash, candidate in zip(hashes, candidates, strict=True)
            if text_hash not in known
        }
        if missing:
            rows = embed_sentences(self._model.embedder, list(missing.values()))
            known |= zip(missing, self._convert(rows @ vector), strict=True)
        return [known[text_hash] for text_hash in hashes]

    def score_sentences(self, question: str, hits: Sequence[SearchHit]) -> list[list[SentenceSpan]]:
        """Return the sentences of each of *hits* that may answer *question*.

        A sentence that two overlapping hits contain is returned for the first one only.
        """
        question = strip_source_phrase(question)
        candidates = find_candidates(question, hits, ANSWER_OPTIONS)
        spans: list[list[SentenceSpan]] = [[] for _ in hits]
        for candidate, similarity in zip(
            candidates, self.compute_similarities(question, candidates), strict=True
        ):
            span = SentenceSpan(*candidate.position, round(similarity, 4))
            spans[candidate.chunk_index].append(span)
        return spans

    def _compute_stored(self, vector: Vectors, chunk_ids: set[str]) -> dict[int, float]:
        """Return the similarities of *vector* with the chunks' stored vectors, by text hash."""
        with self._database.read() as session:
            stored = store.load_sentence_vectors(session, sorted(chunk_ids), self._model.name)
        if not stored:
            return {}
        hashes, rows = unpack_vectors(stored)
        return dict(zip(hashes, self._convert(rows @ vector), strict=True))

    def _convert(self, similarities: Vectors) -> list[float]:
        converted: list[float] = self._model.scale.convert(similarities).tolist()
        return converted


def hash_text(text: str) -> int:
    """Return a 64-bit hash of *text*, which is enough to distinguish the texts of a few chunks."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def pack_vectors(hashes: Sequence[int], rows: Vectors) -> SentenceVectors:
    """Return the stored form of unit vectors of shape (len(hashes), DIMENSIONS).

    Each vector is scaled so that its largest component is 127, and rounded to 8-bit integers. The
    scale is not stored, because `unpack_vectors` normalises the vectors to length one. Cosine
    similarities change by less than 0.002.
    """
    peaks = np.maximum(np.abs(rows).max(axis=1, keepdims=True, initial=0.0), np.finfo("f4").tiny)
    scaled = np.rint(rows * (_MAX_INT8 / peaks)).astype(np.int8)
    return SentenceVectors(np.array(hashes, "<u8").tobytes(), scaled.tobytes())


def unpack_vectors(stored: Sequence[SentenceVectors]) -> tuple[list[int], Vectors]:
    """Return the hashes and the unit vectors of several chunks."""
    hashes: list[int] = np.frombuffer(b"".join(item.hashes for item in stored), "<u8").tolist()
    packed: NDArray[np.int8] = np.frombuffer(b"".join(item.vectors for item in stored), np.int8)
    rows = packed.reshape(-1, DIMENSIONS).astype(np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    rows /= np.maximum(lengths, np.finfo("f4").tiny)[:, None]
    return hashes, rows
