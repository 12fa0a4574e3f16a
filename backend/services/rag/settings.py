"""Settings of the rag service from environment variables."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from backend.ai.chat_models import ModelSettings
from backend.ai.embedding import EmbeddingConfig
from backend.chassis.data_encryption.settings import NO_ENCRYPTION, EncryptionSettings
from backend.chassis.settings import CommonSettings, Env, Secret, SettingsError
from backend.services.rag.clients.rerankers import RerankSettings
from backend.services.rag.store.vectors.addresses import parse_server_address
from backend.services.rag.store.vectors.factory import (
    VECTOR_STORE_KINDS,
    VectorStoreSettings,
    find_missing_extra,
)

_MIB = 2**20
# Maximum time for the stages after extraction in one time slice. Only a bug or a failing store
# makes them take this long.
_MAX_SECONDS_AFTER_EXTRACTION = 120.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the rag service and its worker read from the environment."""

    common: CommonSettings
    database_url: str
    max_upload_bytes: int
    max_queued_documents: int
    extraction_seconds: int
    ocr_seconds: int
    extraction_memory_bytes: int
    max_text_characters: int
    max_keyword_chunks: int
    reranking: RerankSettings
    models: ModelSettings
    vectors: VectorStoreSettings
    embedding: EmbeddingConfig
    broker_url: str | None
    worker_threads: int
    worker_port: int
    encryption: EncryptionSettings = NO_ENCRYPTION

    @classmethod
    def from_env(cls, env: Env) -> Self:
        common = CommonSettings.from_env(env, "rag")
        vectors = _read_vector_store(env, common.data_dir / "rag", common.get_database_url(env))
        return cls(
            common=common,
            database_url=common.get_database_url(env),
            max_upload_bytes=env.number("RAG_MAX_UPLOAD_BYTES", 200 * _MIB, min_value=1),
            max_queued_documents=env.number("RAG_MAX_WAITING", 10_000, min_value=1),
            extraction_seconds=env.number("RAG_EXTRACTION_SECONDS", 120, min_value=1),
            ocr_seconds=env.number("RAG_OCR_SECONDS", 1800, min_value=0),
            extraction_memory_bytes=env.number("RAG_EXTRACTION_MEMORY_MB", 1536, min_value=256)
            * _MIB,
            max_text_characters=env.number("RAG_MAX_TEXT_CHARACTERS", 20_000_000, min_value=1),
            embedding=EmbeddingConfig.from_env(env),
            max_keyword_chunks=env.number("RAG_KEYWORD_PASSAGES", 500_000, min_value=1),
            reranking=_read_reranking(env),
            models=ModelSettings.from_env(env),
            vectors=vectors,
            encryption=EncryptionSettings.from_env(env),
            broker_url=_read_broker_url(env, common, vectors),
            worker_port=env.number("RAG_WORKER_PORT", 5040, min_value=1),
            worker_threads=env.number(
                "RAG_WORKER_THREADS", min(4, os.cpu_count() or 1), min_value=1
            ),
        )

    @property
    def folder(self) -> Path:
        return self.common.data_dir / "rag"

    @property
    def max_processing_seconds(self) -> float:
        """Maximum time for one time slice of a document. A job that takes longer is stuck."""
        return self.extraction_seconds + self.ocr_seconds + _MAX_SECONDS_AFTER_EXTRACTION


def _read_broker_url(env: Env, common: CommonSettings, vectors: VectorStoreSettings) -> str | None:
    """Return the URL of the broker that notifies workers, or None without workers.

    With an embedded vector store, which supports only one process, the service ingests documents
    itself.
    """
    if vectors.url is None:
        return None
    return env.optional("CELERY_BROKER_URL") or common.redis_url


def _read_reranking(env: Env) -> RerankSettings:
    return RerankSettings(
        model=env.optional("RERANK_MODEL"),
        url=env.optional("RERANK_BASE_URL"),
        api_key=Secret(key) if (key := env.optional("RERANK_API_KEY")) else None,
        timeout=env.seconds("RERANK_TIMEOUT_SECONDS", 5),
    )


def _read_vector_store(env: Env, folder: Path, database_url: str) -> VectorStoreSettings:
    kind = env.choice("VECTOR_STORE", VECTOR_STORE_KINDS, "chroma")
    extra = find_missing_extra(kind)
    if extra is not None:
        raise SettingsError(
            f"The packages for VECTOR_STORE={kind} are not installed. Install them with: "
            f"./start_microservices.sh install --extra {extra}"
        )
    if kind == "qdrant":
        return _read_qdrant(env, folder / "qdrant")
    if kind == "pgvector":
        url = env.optional("VECTOR_DATABASE_URL") or database_url
        if not url.startswith("postgres"):
            raise SettingsError(
                "VECTOR_STORE=pgvector requires a PostgreSQL database. "
                "Set VECTOR_DATABASE_URL, or DATABASE_URL for all tables."
            )
        # The limit of connections to the service's own tables does not apply to vectors.
        return VectorStoreSettings(kind, folder, url=re.sub(r"[?&]connections=\d+$", "", url))
    return _read_chroma(env, folder / "vectors")


def _read_chroma(env: Env, folder: Path) -> VectorStoreSettings:
    url, key = env.optional("CHROMA_URL"), env.optional("CHROMA_API_KEY")
    api_key = Secret(key) if key else None
    if url is not None:
        try:
            parse_server_address(url, api_key)
        except ValueError as error:
            raise SettingsError(str(error)) from error
    return VectorStoreSettings("chroma", folder, url=url, api_key=api_key)


def _read_qdrant(env: Env, folder: Path) -> VectorStoreSettings:
    url, key = env.optional("QDRANT_URL"), env.optional("QDRANT_API_KEY")
    if url is None and env.optional("CELERY_BROKER_URL"):
        raise SettingsError(
            "VECTOR_STORE=qdrant without QDRANT_URL is embedded and supports one process only, "
            "but CELERY_BROKER_URL requires a worker process. Set QDRANT_URL."
        )
    return VectorStoreSettings("qdrant", folder, url=url, api_key=Secret(key) if key else None)
