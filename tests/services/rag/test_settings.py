"""What the library reads from the environment about vectors and embedding."""

import pytest

from backend.ai.embedding import BUILT_IN
from backend.chassis.settings import Env, SettingsError
from backend.services.rag.settings import Settings
from backend.services.rag.store.vectors import opening


@pytest.fixture
def settings(tmp_path):
    def read(**variables):
        return Settings.from_env(Env({"DATA_DIR": str(tmp_path), **variables}))

    return read


def test_without_a_word_vectors_lie_in_a_folder_and_the_built_in_model_makes_them(settings):
    read = settings()

    assert (read.vectors.kind, read.vectors.url) == ("chroma", None)
    assert (read.embedding.name, read.embedding.address) == (BUILT_IN, None)


def test_pgvector_lies_in_the_database_for_all_unless_it_has_its_own(settings):
    everything = "postgresql://u@h/all"

    shared = settings(VECTOR_STORE="pgvector", DATABASE_URL=everything).vectors
    own = settings(
        VECTOR_STORE="pgvector", DATABASE_URL=everything, VECTOR_DATABASE_URL="postgresql://u@h/v"
    ).vectors

    assert str(shared.url).endswith("://u@h/all")
    assert own.url == "postgresql://u@h/v"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"VECTOR_STORE": "faiss"}, "chroma, pgvector, qdrant"),
        ({"VECTOR_STORE": "pgvector"}, "VECTOR_DATABASE_URL"),
        ({"VECTOR_STORE": "qdrant", "CELERY_BROKER_URL": "redis://h"}, "Set QDRANT_URL"),
        ({"EMBEDDING_BASE_URL": "http://h/v1"}, "set EMBEDDING_MODEL"),
    ],
)
def test_what_cannot_work_is_refused_with_what_to_do(settings, variables, said):
    with pytest.raises(SettingsError, match=said):
        settings(**variables)


def test_a_store_that_is_not_installed_is_refused_with_how_to_install_it(settings, monkeypatch):
    monkeypatch.setattr(opening, "find_spec", lambda _: None)

    with pytest.raises(SettingsError, match="install --extra qdrant"):
        settings(VECTOR_STORE="qdrant", QDRANT_URL="http://h:6333")


def test_a_model_that_needs_torch_is_refused_with_how_to_install_it(settings):
    with pytest.raises(SettingsError, match="install --extra torch"):
        settings(EMBEDDING_MODEL="sentence-transformers/all-mpnet-base-v2")


def test_keys_do_not_show(settings):
    read = settings(
        VECTOR_STORE="qdrant",
        QDRANT_URL="http://h:6333",
        QDRANT_API_KEY="q-key",
        EMBEDDING_BASE_URL="http://h/v1",
        EMBEDDING_MODEL="m",
        EMBEDDING_API_KEY="e-key",
    )

    assert read.vectors.api_key.reveal() == "q-key"
    assert read.embedding.api_key.reveal() == "e-key"
    assert "-key" not in repr(read)
