"""Settings of vector stores and embedding models."""

import pytest

from backend.ai.embedding import BUILT_IN
from backend.chassis.settings import Env, SettingsError
from backend.services.rag.settings import Settings
from backend.services.rag.store.vectors import factory


@pytest.fixture
def settings(tmp_path):
    def read_settings(**variables):
        return Settings.from_env(Env({"DATA_DIR": str(tmp_path), **variables}))

    return read_settings


def test_settings_default_to_embedded_chroma_and_built_in_model(settings):
    defaults = settings()

    assert (defaults.vectors.kind, defaults.vectors.url) == ("chroma", None)
    assert (defaults.embedding.name, defaults.embedding.address) == (BUILT_IN, None)


def test_pgvector_uses_database_url_unless_vector_database_url_is_set(settings):
    database_url = "postgresql://u@h/all"

    shared = settings(VECTOR_STORE="pgvector", DATABASE_URL=database_url).vectors
    own = settings(
        VECTOR_STORE="pgvector", DATABASE_URL=database_url, VECTOR_DATABASE_URL="postgresql://u@h/v"
    ).vectors

    assert str(shared.url).endswith("://u@h/all")
    assert own.url == "postgresql://u@h/v"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"VECTOR_STORE": "faiss"}, "chroma, pgvector, qdrant"),
        ({"VECTOR_STORE": "pgvector"}, "VECTOR_DATABASE_URL"),
        ({"VECTOR_STORE": "qdrant", "CELERY_BROKER_URL": "redis://h"}, "Set QDRANT_URL"),
        ({"EMBEDDING_BASE_URL": "http://h/v1"}, "set EMBEDDING_MODEL"),
    ],
)
def test_settings_reject_incompatible_variables_with_a_solution(settings, variables, message):
    with pytest.raises(SettingsError, match=message):
        settings(**variables)


def test_settings_name_the_extra_of_a_vector_store_that_is_not_installed(settings, monkeypatch):
    monkeypatch.setattr(factory, "find_spec", lambda _: None)

    with pytest.raises(SettingsError, match="install --extra qdrant"):
        settings(VECTOR_STORE="qdrant", QDRANT_URL="http://h:6333")


def test_settings_name_the_extra_of_a_model_that_requires_torch(settings):
    with pytest.raises(SettingsError, match="install --extra torch"):
        settings(EMBEDDING_MODEL="sentence-transformers/all-mpnet-base-v2")


def test_settings_repr_hides_api_keys(settings):
    result = settings(
        VECTOR_STORE="qdrant",
        QDRANT_URL="http://h:6333",
        QDRANT_API_KEY="q-key",
        EMBEDDING_BASE_URL="http://h/v1",
        EMBEDDING_MODEL="m",
        EMBEDDING_API_KEY="e-key",
    )

    assert result.vectors.api_key.reveal() == "q-key"
    assert result.embedding.api_key.reveal() == "e-key"
    assert "-key" not in repr(result)
