"""All that the library reads from the environment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from backend.chassis.settings import CommonSettings, Env
from backend.services.rag.store.vectors.opening import Place

_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Settings:
    common: CommonSettings
    database_url: str
    max_upload_bytes: int
    max_waiting: int
    extraction_seconds: int
    extraction_memory_bytes: int
    max_text_characters: int
    keyword_passages: int
    vectors: Place

    @classmethod
    def from_env(cls, env: Env) -> Self:
        common = CommonSettings.from_env(env, "rag")
        return cls(
            common=common,
            database_url=common.database_url(env),
            max_upload_bytes=env.number("RAG_MAX_UPLOAD_BYTES", 200 * _MIB, least=1),
            max_waiting=env.number("RAG_MAX_WAITING", 10_000, least=1),
            extraction_seconds=env.number("RAG_EXTRACTION_SECONDS", 120, least=1),
            extraction_memory_bytes=env.number("RAG_EXTRACTION_MEMORY_MB", 1024, least=256) * _MIB,
            max_text_characters=env.number("RAG_MAX_TEXT_CHARACTERS", 20_000_000, least=1),
            keyword_passages=env.number("RAG_KEYWORD_PASSAGES", 100_000, least=1),
            vectors=_vectors(env, common.data_dir / "rag"),
        )

    @property
    def folder(self) -> Path:
        return self.common.data_dir / "rag"


def _vectors(env: Env, folder: Path) -> Place:
    return Place("chroma", folder / "vectors", url=env.optional("CHROMA_URL"))
