"""Tables of the pgvector store."""

import numpy as np
import pytest
from sqlalchemy import create_engine, text

from backend.services.rag.store.vectors.factory import VectorStoreSettings, open_vector_store
from tests.databases import closing_connections

pytestmark = pytest.mark.postgres

DIMENSIONS = 8
# As LangChain's integration created it for earlier versions.
EARLIER_TABLE = """
CREATE SCHEMA rag_vectors;
CREATE TABLE rag_vectors.col_old (
    id varchar(64) PRIMARY KEY,
    content text NOT NULL,
    embedding vector(8) NOT NULL,
    document_id varchar(40) NOT NULL,
    generation integer NOT NULL
);
CREATE INDEX col_old_hnsw ON rag_vectors.col_old
    USING hnsw (embedding vector_cosine_ops) WITH (m = 16, ef_construction = 100);
INSERT INTO rag_vectors.col_old VALUES ('a0', '', '[1,0,0,0,0,0,0,0]', 'doc_a', 1)
"""


@pytest.fixture
def url(postgres):
    with closing_connections():
        yield postgres.database(vectors=True)


@pytest.fixture
def store(url, tmp_path):
    store = open_vector_store(VectorStoreSettings("pgvector", tmp_path, url=url))
    yield store
    store.close()


def list_index_definitions(connection, table):
    query = text("SELECT indexdef FROM pg_indexes WHERE tablename = :table")
    return list(connection.scalars(query, {"table": table}))


def test_table_of_an_earlier_version_gets_vectors_and_the_index_of_documents(url, store):
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in EARLIER_TABLE.split(";"):
            connection.execute(text(statement))
    vectors = np.eye(2, DIMENSIONS, dtype=np.float32)

    store.add_vectors("col_old", "doc_b", 1, ["b0", "b1"], vectors)

    assert set(store.search_nearest("col_old", vectors[0], 10)) == {"a0", "b0", "b1"}
    assert set(store.search_nearest("col_old", vectors[0], 10, ["doc_b"])) == {"b0", "b1"}
    with engine.connect() as connection:
        assert any(
            "(document_id)" in text for text in list_index_definitions(connection, "col_old")
        )


def test_search_in_few_documents_finds_vectors_far_from_the_query(store):
    vectors = np.random.default_rng(5).normal(size=(400, DIMENSIONS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    furthest_first = vectors[np.argsort(vectors @ vectors[0])]
    ids = [f"c{number}" for number in range(len(vectors))]
    store.add_vectors("col_new", "doc_far", 1, ids[:100], furthest_first[:100])
    store.add_vectors("col_new", "doc_near", 1, ids[100:], furthest_first[100:])

    hits = store.search_nearest("col_new", vectors[0], 100, ["doc_far"])

    assert list(hits) == ids[99::-1]
