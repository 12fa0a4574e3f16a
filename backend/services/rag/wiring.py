"""Wiring of the components that the service, its worker and its commands share."""

from dataclasses import dataclass
from typing import Self

from backend.ai.embedding import BUILT_IN, BuiltInEmbedder, EmbeddingConfig, MultilingualEmbedder
from backend.ai.embedding.tokenizers_by_language import TokenizersByLanguage
from backend.chassis.data_encryption.columns import open_encryption
from backend.chassis.data_encryption.files import FileEncryption, FileKeys
from backend.chassis.database.sessions import Database, open_database
from backend.chassis.encryption import Encryptor
from backend.chassis.messaging.audit_outbox import AuditOutbox
from backend.services.rag.clients.metrics import RagMetrics
from backend.services.rag.clients.rerankers import open_reranker
from backend.services.rag.domain.blob_storage import KIND, BlobStorage
from backend.services.rag.domain.embeddings.model_registry import EmbeddingModelRegistry
from backend.services.rag.domain.embeddings.query_vectors import QueryVectors
from backend.services.rag.domain.embeddings.reembedding import Reembedder
from backend.services.rag.domain.embeddings.sentence_embedding import SentenceEmbedder
from backend.services.rag.domain.embeddings.sentence_models import SentenceModels
from backend.services.rag.domain.embeddings.sentence_vectors import (
    RecentSentenceVectors,
    StoredSimilarities,
)
from backend.services.rag.domain.ingestion.chunker import Chunker
from backend.services.rag.domain.ingestion.pipeline import IngestionPipeline
from backend.services.rag.domain.ingestion.runner import IngestionRunner
from backend.services.rag.domain.search.dense_index import DenseIndex
from backend.services.rag.domain.search.document_attributes import DocumentAttributes
from backend.services.rag.domain.search.service import SearchService
from backend.services.rag.domain.search.word_counts import WordCounts
from backend.services.rag.extraction.extractor import ExtractionLimits, Extractor
from backend.services.rag.extraction.parser_processes import select_processes
from backend.services.rag.settings import Settings
from backend.services.rag.store.keyword_index.index import KeywordIndexCache
from backend.services.rag.store.sealed_columns import create_sealed_columns
from backend.services.rag.store.vectors import VectorStore
from backend.services.rag.store.vectors.factory import open_vector_store

# Threads that compute the vector of one question.
_QUESTION_THREADS = 2


@dataclass(frozen=True, slots=True)
class RagComponents:
    """The stores and the services that use them. Opening them migrates the tables."""

    database: Database
    embedder: BuiltInEmbedder
    multilingual_embedder: MultilingualEmbedder
    tokenizers: TokenizersByLanguage
    embedding_models: EmbeddingModelRegistry
    vectors: VectorStore
    dense_index: DenseIndex
    word_counts: WordCounts
    search: SearchService
    blob_storage: BlobStorage
    encryptor: Encryptor
    ingestion: IngestionRunner
    reembedder: Reembedder
    sentence_models: SentenceModels
    similarities: StoredSimilarities
    sentence_embedder: SentenceEmbedder
    audit: AuditOutbox

    @classmethod
    def open(
        cls,
        settings: Settings,
        embedder: BuiltInEmbedder | None = None,
        metrics: RagMetrics | None = None,
        multilingual_embedder: MultilingualEmbedder | None = None,
    ) -> Self:
        metrics = metrics or RagMetrics()
        database = open_database(settings.database_url, "rag")
        database.migrate("rag")
        blob_storage = open_blob_storage(settings, database)
        all_tenants = database.across_tenants()
        # Workers pass their own embedders. Without workers, documents are embedded here as well.
        threads_per_batch = 1 if settings.broker_url is None else _QUESTION_THREADS
        embedder = embedder or BuiltInEmbedder(threads_per_batch=threads_per_batch)
        multilingual_embedder = multilingual_embedder or MultilingualEmbedder(
            threads_per_batch=threads_per_batch
        )
        tokenizers = TokenizersByLanguage(
            embedder.tokenizer,
            multilingual_embedder.tokenizer,
            is_english_only=settings.embedding == EmbeddingConfig(BUILT_IN, is_fixed=True)
            or not multilingual_embedder.is_installed(),
        )
        vectors = open_vector_store(settings.vectors)
        embedding_models = EmbeddingModelRegistry(
            all_tenants,
            settings.embedding,
            settings.common.data_dir,
            embedder,
            store=settings.vectors.kind,
            multilingual=multilingual_embedder,
        )
        sentence_models = SentenceModels(embedding_models, embedder, multilingual_embedder)
        query_vectors = QueryVectors()
        dense_index = DenseIndex(all_tenants, embedding_models, vectors, metrics, query_vectors)
        word_counts = WordCounts(all_tenants, embedder.tokenizer.find_token_spans)
        similarities = StoredSimilarities(
            RecentSentenceVectors(all_tenants), sentence_models, query_vectors
        )
        reembedder = Reembedder(all_tenants, embedding_models, dense_index, vectors, embedder)
        search = SearchService(
            database,
            embedding_models,
            dense_index,
            reembedder,
            KeywordIndexCache(word_counts.load_index_update, settings.max_keyword_chunks),
            DocumentAttributes(all_tenants),
            similarities,
            open_reranker(settings.reranking),
            metrics,
        )
        encryptor = Encryptor(settings.common.secret_key.reveal(), "rag/passwords")
        audit = AuditOutbox("rag", database)
        pipeline = IngestionPipeline(
            all_tenants,
            blob_storage,
            _build_extractor(settings),
            Chunker(
                tokenizers,
                max_memory_bytes=settings.extraction_memory_bytes,
                timeout_seconds=settings.extraction_seconds,
            ),
            embedder,
            embedding_models,
            dense_index,
            encryptor,
            audit,
            metrics,
        )
        ingestion = IngestionRunner(
            all_tenants,
            blob_storage,
            pipeline,
            dense_index,
            max_processing_seconds=settings.max_processing_seconds,
            metrics=metrics,
        )
        return cls(
            database=database,
            embedder=embedder,
            multilingual_embedder=multilingual_embedder,
            tokenizers=tokenizers,
            embedding_models=embedding_models,
            vectors=vectors,
            dense_index=dense_index,
            word_counts=word_counts,
            search=search,
            blob_storage=blob_storage,
            encryptor=encryptor,
            ingestion=ingestion,
            reembedder=reembedder,
            sentence_models=sentence_models,
            similarities=similarities,
            sentence_embedder=SentenceEmbedder(
                all_tenants, sentence_models, ingestion.has_due_or_claimed_document
            ),
            audit=audit,
        )

    def has_unfinished_work(self) -> bool:
        """Return True if a worker has something to do, now or later."""
        return (
            self.ingestion.has_unfinished_work()
            or self.reembedder.has_unfinished_work()
            or self.sentence_embedder.count_waiting_documents() > 0
            or self.word_counts.has_outdated_documents()
        )

    def close(self) -> None:
        """Close the vector store and the database connections."""
        self.vectors.close()
        self.database.engine.dispose()


def open_blob_storage(settings: Settings, database: Database) -> BlobStorage:
    """Return the uploaded files. Sessions of *database* encrypt texts if encryption is on.

    Raises:
        SettingsError: the master key is missing or wrong, or the KMS command failed.
    """
    keys = open_encryption("rag", database, settings.encryption, create_sealed_columns())
    file_keys = None if keys is None else FileKeys(keys, database)
    return BlobStorage(settings.folder / "blobs", FileEncryption(KIND, file_keys))


def _build_extractor(settings: Settings) -> Extractor:
    return Extractor(
        ExtractionLimits(
            timeout_seconds=settings.extraction_seconds,
            ocr_timeout_seconds=settings.ocr_seconds,
            max_memory_bytes=settings.extraction_memory_bytes,
            max_characters=settings.max_text_characters,
        ),
        select_processes(),
    )
