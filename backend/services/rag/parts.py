"""What the service and its worker are made of alike."""

from dataclasses import dataclass
from typing import Self

from backend.ai.embedding import Embedder
from backend.chassis.database.sessions import Database, open_database
from backend.chassis.encryption import Seal
from backend.services.rag.clients.extraction import Extractor, Limits
from backend.services.rag.clients.measures import Measures
from backend.services.rag.clients.rerankers import open_reranker
from backend.services.rag.domain.attributes import DocumentAttributes
from backend.services.rag.domain.dense import DenseIndex
from backend.services.rag.domain.embedding_models import EmbeddingModels
from backend.services.rag.domain.ingestion import Ingestion
from backend.services.rag.domain.reading import Reading
from backend.services.rag.domain.reembedding import Reembedding
from backend.services.rag.domain.search import Search
from backend.services.rag.domain.uploads import Blobs
from backend.services.rag.domain.words import WordCounts
from backend.services.rag.settings import Settings
from backend.services.rag.store.keywords import KeywordIndexes
from backend.services.rag.store.vectors import VectorStore
from backend.services.rag.store.vectors.opening import open_vectors


@dataclass(frozen=True, slots=True)
class Parts:
    """The stores, brought up to date, and what reads documents into them."""

    database: Database
    embedder: Embedder
    models: EmbeddingModels
    vectors: VectorStore
    dense: DenseIndex
    search: Search
    blobs: Blobs
    seal: Seal
    ingestion: Ingestion
    reembedding: Reembedding

    @classmethod
    def open(
        cls,
        settings: Settings,
        embedder: Embedder | None = None,
        measures: Measures | None = None,
    ) -> Self:
        measures = measures or Measures()
        database = open_database(settings.database_url, "rag")
        database.migrate("rag")
        everything = database.across_tenants()
        embedder = embedder or Embedder(settings.common.data_dir)
        vectors = open_vectors(settings.vectors)
        models = EmbeddingModels(
            everything,
            settings.embedding,
            settings.common.data_dir,
            embedder,
            store=settings.vectors.kind,
        )
        dense = DenseIndex(everything, models, vectors, measures)
        counts = WordCounts(everything, embedder.tokens.spans)
        search = Search(
            database,
            dense,
            KeywordIndexes(counts.update, settings.keyword_passages),
            DocumentAttributes(everything),
            open_reranker(settings.reranking),
            measures,
        )
        blobs = Blobs(settings.folder / "blobs")
        seal = Seal(settings.common.secret_key.reveal(), "rag/passwords")
        reading = Reading(everything, blobs, _extractor(settings), embedder, dense, seal, measures)
        ingestion = Ingestion(
            everything,
            blobs,
            reading,
            dense,
            longest_seconds=settings.longest_turn_seconds,
            measures=measures,
        )
        reembedding = Reembedding(everything, models, dense, vectors, embedder)
        return cls(
            database=database,
            embedder=embedder,
            models=models,
            vectors=vectors,
            dense=dense,
            search=search,
            blobs=blobs,
            seal=seal,
            ingestion=ingestion,
            reembedding=reembedding,
        )


def _extractor(settings: Settings) -> Extractor:
    return Extractor(
        Limits(
            seconds=settings.extraction_seconds,
            ocr_seconds=settings.ocr_seconds,
            memory_bytes=settings.extraction_memory_bytes,
            characters=settings.max_text_characters,
        )
    )
