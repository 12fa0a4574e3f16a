"""Measure retrieval on a judged question set with the same components that serve requests."""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from statistics import fmean

from backend.ai.embedding.tokenizers_by_language import TokenizersByLanguage
from backend.chassis.database.sessions import Database
from backend.services.rag.clients.datasets import CorpusDocument, Dataset
from backend.services.rag.domain.embeddings.model_registry import (
    EmbeddingModelRegistry,
    StoredModel,
)
from backend.services.rag.domain.embeddings.reembedding import Reembedder
from backend.services.rag.domain.embeddings.sentence_embedding import SentenceEmbedder
from backend.services.rag.domain.evaluation.ranking_metrics import (
    compute_ndcg,
    compute_percentile,
    compute_recall,
    compute_reciprocal_rank,
)
from backend.services.rag.domain.ingestion.chunking import (
    Chunk,
    build_index_text,
    split_into_chunks,
)
from backend.services.rag.domain.ingestion.document_language import detect_document_language
from backend.services.rag.domain.search.dense_index import DenseIndex
from backend.services.rag.domain.search.service import SearchQuery, SearchService
from backend.services.rag.model import Viewer
from backend.services.rag.store.chunks import ChunkRow, build_chunk_id
from backend.services.rag.store.collections import CollectionRow
from backend.services.rag.store.documents import DocumentRow
from backend.services.rag.store.embeddings import record_embedded_chunks
from backend.services.rag.store.keyword_index.postings import build_postings, save_postings
from backend.services.rag.store.vectors import VectorStore

_VIEWER = Viewer("evaluation", "evaluation")
_BATCH_SIZE = 64
PrintProgress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RetrievalScores:
    """Means of the ranking metrics over all questions, and search latency in milliseconds."""

    ndcg_10: float
    recall_5: float
    recall_10: float
    mrr: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class _ChunkedDocument:
    """A document of the corpus with its chunks and their index texts."""

    source: CorpusDocument
    document_id: str
    language: str
    chunks: list[Chunk]
    texts: list[str]


class RetrievalEvaluation:
    """Indexes the corpus of a question set in an empty installation and runs its questions."""

    def __init__(
        self,
        database: Database,
        models: EmbeddingModelRegistry,
        dense_index: DenseIndex,
        vectors: VectorStore,
        search: SearchService,
        reembedder: Reembedder,
        sentence_embedder: SentenceEmbedder,
        tokenizers: TokenizersByLanguage,
    ) -> None:
        self._database = database
        self._models = models
        self._dense_index = dense_index
        self._vectors = vectors
        self._search = search
        self._reembedder = reembedder
        self._sentence_embedder = sentence_embedder
        self._tokenizers = tokenizers
        with database.write(_VIEWER.tenant_id) as session:
            collection = CollectionRow(
                tenant_id=_VIEWER.tenant_id, owner_id=_VIEWER.user_id, name="evaluation"
            )
            session.add(collection)
            session.flush()
            self._collection_id = collection.id

    def index_dataset(self, dataset: Dataset, print_progress: PrintProgress) -> tuple[int, int]:
        """Index the documents of *dataset* as ingestion does after extraction.

        The embedding model is chosen as in the service: by the languages of documents and
        questions.

        Returns:
            The numbers of documents and of chunks.
        """
        # The service embeds documents again when one in another language follows.
        languages = (_detect_language(source) for source in dataset.iterate_documents())
        if any(language not in ("", "en") for language in languages):
            self._models.select_multilingual(_VIEWER.tenant_id)
        model = self._models.get_serving_model(_VIEWER.tenant_id)
        document_count = chunk_count = 0
        started_at = time.monotonic()
        for batch in _split_into_batches(dataset.iterate_documents(), _BATCH_SIZE):
            chunk_count += self._index_batch(model, batch)
            document_count += len(batch)
            rate = document_count / (time.monotonic() - started_at)
            print_progress(
                f"{document_count} documents, {chunk_count} chunks, {rate:.0f} documents/s"
            )
        self._prepare_questions(dataset.queries.values(), print_progress)
        self._embed_sentences(print_progress)
        return document_count, chunk_count

    def get_model_name(self) -> str:
        """Return the name of the embedding model that serves the searches."""
        return self._models.get_serving_model(_VIEWER.tenant_id).name

    def _prepare_questions(self, questions: Iterable[str], print_progress: PrintProgress) -> None:
        """Embed the documents again if a question needs the multilingual model."""
        if not any(self._search.needs_multilingual(_VIEWER, SearchQuery(q)) for q in questions):
            return
        print_progress("embedding all documents for other languages")
        self._reembedder.switch_tenant(_VIEWER.tenant_id)

    def _embed_sentences(self, print_progress: PrintProgress) -> None:
        """Do what the service does in the background after ingestion."""
        while self._sentence_embedder.run_time_slice():
            waiting = self._sentence_embedder.count_waiting_documents()
            print_progress(f"embedding sentences, {waiting} documents left")

    def run_queries(
        self, dataset: Dataset, template: SearchQuery, print_progress: PrintProgress
    ) -> RetrievalScores:
        """Search for all questions with the options of *template*; its text is replaced."""
        metrics: list[tuple[float, float, float, float]] = []
        latencies_ms: list[float] = []
        for number, (key, text) in enumerate(dataset.queries.items(), 1):
            started_at = time.perf_counter()
            hits = self._search.search_chunks(_VIEWER, replace(template, text=text)).hits
            latencies_ms.append((time.perf_counter() - started_at) * 1000)
            # A document has the rank of its best chunk.
            ranking = list(dict.fromkeys(hit.filename for hit in hits))
            metrics.append(_compute_metrics(ranking, dataset.judgments[key]))
            if number % 50 == 0:
                print_progress(f"{number} of {len(dataset.queries)} questions")
        ndcg_10, recall_5, recall_10, mrr = (fmean(column) for column in zip(*metrics, strict=True))
        return RetrievalScores(
            ndcg_10=ndcg_10,
            recall_5=recall_5,
            recall_10=recall_10,
            mrr=mrr,
            p50_ms=compute_percentile(latencies_ms, 0.5),
            p99_ms=compute_percentile(latencies_ms, 0.99),
        )

    def _index_batch(self, model: StoredModel, batch: list[CorpusDocument]) -> int:
        """Index the documents. Returns the number of chunks."""
        documents = [
            document for source in batch if (document := self._chunk_document(source)).chunks
        ]
        texts = [text for document in documents for text in document.texts]
        vectors = self._dense_index.embed_texts(model, texts, "documents")
        with self._database.write(_VIEWER.tenant_id) as session:
            for document in documents:
                session.add(self._build_document_row(document))
            session.flush()
            for document in documents:
                save_postings(session, build_postings(document.document_id, 1, document.texts))
                session.add_all(_build_chunk_rows(document))
                record_embedded_chunks(
                    session, model.id, document.document_id, 1, len(document.chunks)
                )
        partition = model.get_partition_name(self._collection_id)
        first = 0
        for document in documents:
            count = len(document.chunks)
            rows = vectors[first : first + count]
            ids = [build_chunk_id(document.document_id, 1, ordinal) for ordinal in range(count)]
            self._vectors.add_vectors(partition, document.document_id, 1, ids, rows)
            first += count
        return first

    def _chunk_document(self, source: CorpusDocument) -> _ChunkedDocument:
        text = _get_text(source)
        language = _detect_language(source)
        find_token_spans = self._tokenizers.get_token_span_finder(language)
        chunks = split_into_chunks(text, find_token_spans)
        texts = [
            build_index_text(
                source.title,
                chunk.section,
                text[chunk.start : chunk.end],
                self._tokenizers.get_token_span_finder(""),
                text[slice(*chunk.table_header)],
            )
            for chunk in chunks
        ]
        digest = hashlib.sha256(source.id.encode()).hexdigest()
        return _ChunkedDocument(source, f"doc_{digest[:32]}", language, chunks, texts)

    def _build_document_row(self, document: _ChunkedDocument) -> DocumentRow:
        return DocumentRow(
            id=document.document_id,
            tenant_id=_VIEWER.tenant_id,
            collection_id=self._collection_id,
            owner_id=_VIEWER.user_id,
            filename=document.source.id,
            title=document.source.title,
            title_given=True,
            content_type="text/plain",
            language=document.language,
            size_bytes=len(document.source.text),
            sha256=document.document_id,
            blob="",
            attributes={},
            status="ready",
            stage="ready",
            generation=1,
            chunks=len(document.chunks),
        )


def _build_chunk_rows(document: _ChunkedDocument) -> Iterator[ChunkRow]:
    text = _get_text(document.source)
    for ordinal, chunk in enumerate(document.chunks):
        yield ChunkRow(
            id=build_chunk_id(document.document_id, 1, ordinal),
            document_id=document.document_id,
            generation=1,
            ordinal=ordinal,
            page=None,
            start=chunk.start,
            end=chunk.end,
            section=chunk.section,
            headings=list(chunk.headings),
            table_header=text[slice(*chunk.table_header)],
            text=text[chunk.start : chunk.end],
        )


def _detect_language(source: CorpusDocument) -> str:
    return detect_document_language([_get_text(source)])


def _get_text(source: CorpusDocument) -> str:
    # A document that has only a title can still be found by it.
    return source.text if source.text.strip() else source.title


def _compute_metrics(
    ranking: list[str], grades: Mapping[str, int]
) -> tuple[float, float, float, float]:
    return (
        compute_ndcg(ranking, grades, 10),
        compute_recall(ranking, grades, 5),
        compute_recall(ranking, grades, 10),
        compute_reciprocal_rank(ranking, grades),
    )


def _split_into_batches(
    documents: Iterable[CorpusDocument], size: int
) -> Iterator[list[CorpusDocument]]:
    iterator = iter(documents)
    while batch := list(islice(iterator, size)):
        yield batch
