"""Vector store in PostgreSQL with pgvector: one table with an HNSW index per partition.

The tables are in a separate schema. LangChain's integration creates tables and indexes and inserts
rows. Searches do not use it: it would transfer the vector of each hit, and 100 vectors are half a
megabyte of text.
"""

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy import Row as SqlRow
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from backend.services.rag.errors import VectorSearchUnavailable
from backend.services.rag.store.vectors import IMPORT_LOCK, StoredVector, Vector, Vectors

if TYPE_CHECKING:
    from langchain_postgres import PGEngine, PGVectorStore

_SCHEMA = "rag_vectors"
_COLUMNS = ("document_id", "generation")
_ID = "id"
# Limit of pgvector's HNSW index. Longer vectors are searched without an index.
_MAX_INDEXED_DIMENSIONS = 2000
_READ_BATCH_SIZE = 2000
# SQLSTATE codes: undefined_table, invalid_schema_name, insufficient_privilege.
_UNDEFINED_TABLE = ("42P01", "3F000")
_INSUFFICIENT_PRIVILEGE = "42501"
_ADVISORY_LOCK = 0x52414756
_OPTIONS = {
    "statement_timeout": "10s",
    "hnsw.ef_search": "200",
    # Continue the index scan until enough rows pass the filter, which could otherwise discard all
    # candidates.
    "hnsw.iterative_scan": "strict_order",
}
# LangChain commits each row. These commits are asynchronous, followed by one synchronous commit.
_WRITE_OPTIONS = {"statement_timeout": "30s", "synchronous_commit": "off"}


class PgvectorStore:
    """Connects on first use. The database user of *url* owns the schema."""

    def __init__(self, url: str) -> None:
        self._url = "postgresql+psycopg://" + url.partition("://")[2]
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._write_engine: PGEngine | None = None
        self._existing_partitions: set[str] = set()

    def add_vectors(
        self,
        partition: str,
        document_id: str,
        generation: int,
        ids: Sequence[str],
        vectors: Vectors,
    ) -> None:
        metadata = dict(zip(_COLUMNS, (document_id, generation), strict=True))
        with self._map_errors():
            try:
                self._insert(partition, metadata, list(ids), vectors)
            except ProgrammingError as error:
                if not _is_missing(error):
                    raise
                self._existing_partitions.discard(partition)  # dropped by another process
                self._insert(partition, metadata, list(ids), vectors)
        # Make the asynchronous commits durable: a transaction with an id commits synchronously.
        self._execute("SELECT txid_current()")

    def search_nearest(
        self,
        partition: str,
        vector: Vector,
        limit: int,
        document_ids: Collection[str] | None = None,
    ) -> dict[str, float]:
        if document_ids is not None and not document_ids:
            return {}
        distance = "embedding <=> CAST(:vector AS vector)"
        condition = "" if document_ids is None else "WHERE document_id = ANY(:documents)"
        rows = self._execute(
            f"SELECT id, 1 - ({distance}) FROM {_table(partition)} {condition} "  # noqa: S608
            f"ORDER BY {distance} LIMIT :limit",
            vector=str(vector.tolist()),
            limit=limit,
            documents=None if document_ids is None else list(document_ids),
        )
        return {str(chunk_id): float(cosine) for chunk_id, cosine in rows}

    def delete_document(self, partition: str, document_id: str, keep_generation: int = 0) -> None:
        self._execute(
            f"DELETE FROM {_table(partition)} "  # noqa: S608
            "WHERE document_id = :document_id AND generation <> :generation",
            document_id=document_id,
            generation=keep_generation,
        )

    def delete_vectors(self, partition: str, ids: Sequence[str]) -> None:
        self._execute(
            f"DELETE FROM {_table(partition)} WHERE id = ANY(:ids)",  # noqa: S608
            ids=list(ids),
        )

    def drop_partition(self, partition: str) -> None:
        self._existing_partitions.discard(partition)
        self._execute(f"DROP TABLE IF EXISTS {_table(partition)}")

    def list_partitions(self) -> list[str]:
        query = "SELECT tablename FROM pg_tables WHERE schemaname = :schema ORDER BY tablename"
        return [str(row[0]) for row in self._execute(query, schema=_SCHEMA)]

    def iterate_vectors(self, partition: str) -> Iterator[StoredVector]:
        last = ""
        while True:
            page = self._execute(
                f"SELECT id, document_id, generation FROM {_table(partition)} "  # noqa: S608
                "WHERE id > :last ORDER BY id LIMIT :limit",
                last=last,
                limit=_READ_BATCH_SIZE,
            )
            yield from (StoredVector(*row) for row in page)
            if len(page) < _READ_BATCH_SIZE:
                return
            last = page[-1][0]

    def fetch_vectors(self, partition: str, ids: Sequence[str]) -> dict[str, Vector]:
        rows = self._execute(
            f"SELECT id, embedding::real[] FROM {_table(partition)} WHERE id = ANY(:ids)",  # noqa: S608
            ids=list(ids),
        )
        return {str(chunk_id): np.array(vector, np.float32) for chunk_id, vector in rows}

    def check_connection(self) -> None:
        self._execute("SELECT 1")

    def connect(self) -> None:
        self.check_connection()

    def close(self) -> None:
        with self._lock:
            engine, self._engine = self._engine, None
            write_engine, self._write_engine = self._write_engine, None
        if engine is not None:
            engine.dispose()
        if write_engine is not None:
            write_engine._run_as_sync(write_engine._pool.dispose())

    def _insert(
        self, partition: str, metadata: Mapping[str, Any], ids: list[str], vectors: Vectors
    ) -> None:
        self._ensure_table(partition, vectors)
        self._langchain_store(partition, vectors).add_embeddings(
            texts=[""] * len(ids),
            embeddings=[vector.tolist() for vector in vectors],
            metadatas=[dict(metadata) for _ in ids],
            ids=ids,
        )

    def _ensure_table(self, partition: str, vectors: Vectors) -> None:
        """Create the table and index of the partition, unless they exist."""
        if partition in self._existing_partitions:
            return
        with self._exclusive_transaction() as connection:
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {_SCHEMA}"))
        with self._exclusive_transaction() as connection:
            query = text("SELECT to_regclass(:table)")
            if connection.scalar(query, {"table": _table(partition)}) is None:
                self._create_table(partition, vectors)
        self._existing_partitions.add(partition)

    def _create_table(self, partition: str, vectors: Vectors) -> None:
        with IMPORT_LOCK:
            from langchain_postgres.v2.engine import Column
            from langchain_postgres.v2.indexes import HNSWIndex

        self._get_write_engine().init_vectorstore_table(
            partition,
            vectors.shape[1],
            schema_name=_SCHEMA,
            metadata_columns=[
                Column("document_id", "VARCHAR(40)", nullable=False),
                Column("generation", "INTEGER", nullable=False),
            ],
            id_column=Column(_ID, "VARCHAR(64)", nullable=False),
            store_metadata=False,
        )
        if vectors.shape[1] <= _MAX_INDEXED_DIMENSIONS:
            index = HNSWIndex(name=f"{partition}_hnsw", m=16, ef_construction=100)
            self._langchain_store(partition, vectors).apply_vector_index(index)

    def _langchain_store(self, partition: str, vectors: Vectors) -> "PGVectorStore":
        with IMPORT_LOCK:
            from langchain_postgres import PGVectorStore

            from backend.services.rag.store.vectors.precomputed import PrecomputedEmbeddings

        return PGVectorStore.create_sync(
            self._get_write_engine(),
            PrecomputedEmbeddings(vectors),
            partition,
            schema_name=_SCHEMA,
            metadata_columns=list(_COLUMNS),
            id_column=_ID,
        )

    def _execute(self, statement: str, **parameters: Any) -> Sequence[SqlRow[Any]]:
        """Return the rows of *statement*; none if the table does not exist."""
        try:
            with self._map_errors(), self._get_engine().begin() as connection:
                result = connection.execute(text(statement), parameters)
                return result.all() if result.returns_rows else []
        except ProgrammingError as error:
            if _is_missing(error):
                return []
            raise

    @contextmanager
    def _exclusive_transaction(self) -> Iterator[Connection]:
        """Open a transaction during which no other process creates tables."""
        with self._get_engine().begin() as connection:
            lock = text("SELECT pg_advisory_xact_lock(:lock)")
            connection.execute(lock, {"lock": _ADVISORY_LOCK})
            yield connection

    @contextmanager
    def _map_errors(self) -> Iterator[None]:
        """Map connection errors and missing privileges to VectorSearchUnavailable."""
        try:
            yield
        except ProgrammingError as error:
            if getattr(error.orig, "sqlstate", None) == _INSUFFICIENT_PRIVILEGE:
                raise VectorSearchUnavailable(
                    "The extension pgvector is missing in the vector database. Run as a superuser: "
                    "CREATE EXTENSION vector."
                ) from error
            raise
        except (DBAPIError, PoolTimeout) as error:
            raise VectorSearchUnavailable(str(error.__cause__ or error)) from error

    def _get_engine(self) -> Engine:
        with self._lock:
            if self._engine is None:
                self._engine = create_engine(
                    self._url,
                    pool_pre_ping=True,
                    pool_timeout=5,
                    max_overflow=20,
                    connect_args=_connect_args(_OPTIONS),
                )
            return self._engine

    def _get_write_engine(self) -> "PGEngine":
        with IMPORT_LOCK:
            from langchain_postgres import PGEngine

        with self._lock:
            if self._write_engine is None:
                self._write_engine = PGEngine.from_connection_string(
                    self._url, pool_pre_ping=True, connect_args=_connect_args(_WRITE_OPTIONS)
                )
            return self._write_engine


def _table(partition: str) -> str:
    quoted = partition.replace('"', '""')
    return f'{_SCHEMA}."{quoted}"'


def _connect_args(options: Mapping[str, str]) -> dict[str, Any]:
    arguments = " ".join(f"-c {name}={value}" for name, value in options.items())
    return {"connect_timeout": 2, "options": arguments}


def _is_missing(error: ProgrammingError) -> bool:
    return getattr(error.orig, "sqlstate", None) in _UNDEFINED_TABLE
