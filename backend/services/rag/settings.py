"""All that the library reads from the environment."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from backend.ai.chat_models import ModelSettings
from backend.ai.embedding import ModelChoice
from backend.chassis.settings import CommonSettings, Env, Secret, SettingsError
from backend.services.rag.clients.rerankers import RerankSettings
from backend.services.rag.store.vectors.opening import KINDS, Place, missing_extra

_MIB = 2**20
# Only faults of ours or of a store make the rest of a turn last so long.
_LONGEST_BESIDES_EXTRACTION = 120.0


@dataclass(frozen=True, slots=True)
class Settings:
    common: CommonSettings
    database_url: str
    max_upload_bytes: int
    max_waiting: int
    extraction_seconds: int
    ocr_seconds: int
    extraction_memory_bytes: int
    max_text_characters: int
    keyword_passages: int
    reranking: RerankSettings
    models: ModelSettings
    vectors: Place
    embedding: ModelChoice
    broker_url: str | None
    worker_threads: int
    worker_port: int

    @classmethod
    def from_env(cls, env: Env) -> Self:
        common = CommonSettings.from_env(env, "rag")
        vectors = _vectors(env, common.data_dir / "rag", common.database_url(env))
        return cls(
            common=common,
            database_url=common.database_url(env),
            max_upload_bytes=env.number("RAG_MAX_UPLOAD_BYTES", 200 * _MIB, least=1),
            max_waiting=env.number("RAG_MAX_WAITING", 10_000, least=1),
            extraction_seconds=env.number("RAG_EXTRACTION_SECONDS", 120, least=1),
            ocr_seconds=env.number("RAG_OCR_SECONDS", 1800, least=0),
            extraction_memory_bytes=env.number("RAG_EXTRACTION_MEMORY_MB", 1536, least=256) * _MIB,
            max_text_characters=env.number("RAG_MAX_TEXT_CHARACTERS", 20_000_000, least=1),
            embedding=ModelChoice.from_env(env),
            keyword_passages=env.number("RAG_KEYWORD_PASSAGES", 500_000, least=1),
            reranking=_reranking(env),
            models=ModelSettings.from_env(env),
            vectors=vectors,
            broker_url=_broker_url(env, common, vectors),
            worker_port=env.number("RAG_WORKER_PORT", 5040, least=1),
            worker_threads=env.number("RAG_WORKER_THREADS", min(4, os.cpu_count() or 1), least=1),
        )

    @property
    def folder(self) -> Path:
        return self.common.data_dir / "rag"

    @property
    def longest_turn_seconds(self) -> float:
        """What one reader may spend on a document at a stretch before it counts as stuck."""
        return self.extraction_seconds + self.ocr_seconds + _LONGEST_BESIDES_EXTRACTION


def _broker_url(env: Env, common: CommonSettings, vectors: Place) -> str | None:
    """Where workers hear that documents wait. None where the service reads them itself, as it
    must when its vectors lie in a folder for one process.
    """
    if vectors.url is None:
        return None
    return env.optional("CELERY_BROKER_URL") or common.redis_url


def _reranking(env: Env) -> RerankSettings:
    return RerankSettings(
        model=env.optional("RERANK_MODEL"),
        url=env.optional("RERANK_BASE_URL"),
        key=Secret(key) if (key := env.optional("RERANK_API_KEY")) else None,
        timeout=env.seconds("RERANK_TIMEOUT_SECONDS", 5),
    )


def _vectors(env: Env, folder: Path, database_url: str) -> Place:
    kind = env.choice("VECTOR_STORE", KINDS, "chroma")
    extra = missing_extra(kind)
    if extra is not None:
        raise SettingsError(
            f"VECTOR_STORE={kind} needs what is not installed. Install it with: "
            f"./start_microservices.sh install --extra {extra}"
        )
    if kind == "qdrant":
        return _qdrant(env, folder / "qdrant")
    if kind == "pgvector":
        url = env.optional("VECTOR_DATABASE_URL") or database_url
        if not url.startswith("postgres"):
            raise SettingsError(
                "VECTOR_STORE=pgvector needs a PostgreSQL database: "
                "set VECTOR_DATABASE_URL, or DATABASE_URL for everything."
            )
        # How many connections there may be of our own is none of the vectors' business.
        return Place(kind, folder, url=re.sub(r"[?&]connections=\d+$", "", url))
    return Place("chroma", folder / "vectors", url=env.optional("CHROMA_URL"))


def _qdrant(env: Env, folder: Path) -> Place:
    url, key = env.optional("QDRANT_URL"), env.optional("QDRANT_API_KEY")
    if url is None and env.optional("CELERY_BROKER_URL"):
        raise SettingsError(
            "VECTOR_STORE=qdrant without QDRANT_URL is a folder for one process, and the worker "
            "is another. Set QDRANT_URL."
        )
    return Place("qdrant", folder, url=url, api_key=Secret(key) if key else None)
