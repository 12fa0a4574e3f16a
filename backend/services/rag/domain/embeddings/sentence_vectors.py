"""Similarities of questions with sentences, from vectors that were stored in the background.

Search uses them to rerank chunks, answers to select sentences.

Vectors are found by a hash of the sentence's text. A sentence has no stored vector if its document
is new, or if the question identifies a table row as a header, which changes the text of the rows.
It is then embedded during the request.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

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
_HASH_BYTES = 8
# A chunk has about ten sentences, whose vectors take 4 kB. Larger ones are not kept.
_MAX_KEPT_CHUNKS = 1024
_MAX_KEPT_BYTES = 16_000
# Shares of a chunk's most similar sentences in its similarity, the best one first.
SENTENCE_SHARES: tuple[float, ...] = (0.75, 0.25)


class RecentSentenceVectors:
    """Cache of the stored vectors of recently found chunks. Shared between threads.

    A chunk belongs to a generation of a document, so that its vectors under a model do not change.
    Missing vectors are not kept: they are stored later.
    """

    def __init__(self, database: Database) -> None:
        """*database* sees all tenants' rows: the search has checked access to the chunks."""
        self._database = database
        self._kept: OrderedDict[tuple[str, str], SentenceVectors] = OrderedDict()
        self._lock = threading.Lock()

    def get_vectors(self, model: str, chunk_ids: Iterable[str]) -> dict[str, SentenceVectors]:
        """Return the vectors under *model* by chunk id. Chunks without vectors are left out."""
        found: dict[str, SentenceVectors] = {}
        missing: list[str] = []
        with self._lock:
            for chunk_id in chunk_ids:
                vectors = self._kept.get((model, chunk_id))
                if vectors is None:
                    missing.append(chunk_id)
                else:
                    self._kept.move_to_end((model, chunk_id))
                    found[chunk_id] = vectors
        if missing:
            found.update(self._load_vectors(model, missing))
        return found

    def _load_vectors(self, model: str, chunk_ids: list[str]) -> Mapping[str, SentenceVectors]:
        with self._database.read() as session:
            loaded = store.load_sentence_vectors(session, sorted(chunk_ids), model)
        with self._lock:
            for chunk_id, vectors in loaded.items():
                if len(vectors.vectors) <= _MAX_KEPT_BYTES:
                    self._kept[model, chunk_id] = vectors
            while len(self._kept) > _MAX_KEPT_CHUNKS:
                self._kept.popitem(last=False)
        return loaded


class StoredSimilarities:
    """Similarities of the sentences of search hits. Shared between threads."""

    def __init__(
        self, vectors: RecentSentenceVectors, models: SentenceModels, query_vectors: QueryVectors
    ) -> None:
        self._vectors = vectors
        self._models = models
        self._query_vectors = query_vectors

    def for_tenant(self, tenant_id: str) -> "TenantSimilarities":
        """Return the similarities under the model of the tenant's sentences."""
        return TenantSimilarities(
            self._vectors, self._models.get_model(tenant_id), self._query_vectors
        )


class TenantSimilarities:
    """Similarities of the sentences of search hits in the documents of one tenant."""

    def __init__(
        self, vectors: RecentSentenceVectors, model: SentenceModel, query_vectors: QueryVectors
    ) -> None:
        self._vectors = vectors
        self._model = model
        self._query_vectors = query_vectors

    @property
    def model_name(self) -> str:
        """Name of the model that embeds the sentences."""
        return self._model.name

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
        vector = self._embed_question(question)
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

    def score_chunks(self, question: str, chunk_ids: Sequence[str]) -> dict[str, float]:
        """Return the cosine similarity of *question* with the most similar sentences of each chunk.

        It is the mean of the two best sentences, weighted by SENTENCE_SHARES, on the scale of the
        model. Chunks without stored vectors are left out.
        """
        vectors = self._vectors.get_vectors(self._model.name, chunk_ids)
        stored = {key: item for key, item in vectors.items() if item.vectors}
        if not stored:
            return {}
        _, rows = unpack_vectors(list(stored.values()))
        similarities = rows @ self._embed_question(question)
        sizes = [len(item.hashes) // _HASH_BYTES for item in stored.values()]
        ends = list(accumulate(sizes))
        values = similarities.tolist()
        return {
            key: average_best(values[end - size : end])
            for key, size, end in zip(stored, sizes, ends, strict=True)
        }

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
        stored = self._vectors.get_vectors(self._model.name, chunk_ids)
        if not stored:
            return {}
        hashes, rows = unpack_vectors(list(stored.values()))
        return dict(zip(hashes, self._convert(rows @ vector), strict=True))

    def _embed_question(self, question: str) -> Vectors:
        return self._query_vectors.embed_query(
            self._model.name, question, self._model.embedder.encode_queries
        )

    def _convert(self, similarities: Vectors) -> list[float]:
        converted: list[float] = self._model.scale.convert(similarities).tolist()
        return converted


def average_best(similarities: Sequence[float]) -> float:
    """Return the mean of the two highest of at least one similarity, weighted by their shares."""
    best = sorted(similarities, reverse=True)[: len(SENTENCE_SHARES)]
    shares = SENTENCE_SHARES[: len(best)]
    total = sum(share * value for share, value in zip(shares, best, strict=True))
    return total / sum(shares)


def hash_text(text: str) -> int:
    """Return a 64-bit hash of *text*, which is enough to distinguish the texts of a few chunks."""
    return int.from_bytes(
        hashlib.blake2b(text.encode(), digest_size=_HASH_BYTES).digest(), "little"
    )


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
