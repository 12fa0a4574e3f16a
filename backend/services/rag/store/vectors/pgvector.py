"""Vector store in PostgreSQL with pgvector: one table with an HNSW index per partition.

The tables are in a separate schema. LangChain's integration is not used: it inserts and commits
each row, and its searches transfer the vector of each hit, which is half a megabyte of text for 100
hits (docs/adr/0109).
"""

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy import Row as SqlRow
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from backend.services.rag.errors import VectorSearchUnavailable
from backend.services.rag.store.vectors import StoredVector, Vector, Vectors

_SCHEMA = "rag_vectors"
# Limit of pgvector's HNSW index. Longer vectors are searched without an index.
_MAX_INDEXED_DIMENSIONS = 2000
_READ_BATCH_SIZE = 2000
_WRITE_BATCH_SIZE = 250
# SQLSTATE codes: undefined_table, invalid_schema_name, insufficient_privilege.
_UNDEFINED_TABLE = ("42P01", "3F000")
_INSUFFICIENT_PRIVILEGE = "42501"
_ADVISORY_LOCK = 0x52414756
_OPTIONS = {
    "statement_timeout": "10s",
    "hnsw.ef_search": "150",
    # Continue the index scan until enough rows pass the filter, which could otherwise discard all
    # candidates. With a strict order, candidates that a continued scan finds late are discarded.
    "hnsw.iterative_scan": "relaxed_order",
}
# Inserting updates the HNSW index, and creating an index reads all rows.
_EXTEND_TIMEOUT = text("SET LOCAL statement_timeout = '60s'")


class PgvectorStore:
    """Connects on first use. The database user of *url* owns the schema."""

    def __init__(self, url: str) -> None:
        self._url = "postgresql+psycopg://" + url.partition("://")[2]
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._existing_partitions: set[str] = set()

    def add_vectors(
        self,
        partition: str,
        document_id: str,
        generation: int,
        ids: Sequence[str],
        vectors: Vectors,
    ) -> None:
        with self._map_errors():
            for start in range(0, len(ids), _WRITE_BATCH_SIZE):
                batch = list(ids[start : start + _WRITE_BATCH_SIZE])
                part = vectors[start : start + _WRITE_BATCH_SIZE]
                try:
                    self._insert(partition, document_id, generation, batch, part)
                except ProgrammingError as error:
                    if not _is_missing(error):
                        raise
                    self._existing_partitions.discard(partition)  # dropped by another process
                    self._insert(partition, document_id, generation, batch, part)

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
            vector=_to_text(vector),
            limit=limit,
            documents=None if document_ids is None else list(document_ids),
        )
        best_first = sorted(rows, key=lambda row: float(row[1]), reverse=True)
        return {str(chunk_id): float(cosine) for chunk_id, cosine in best_first}

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
        if engine is not None:
            engine.dispose()

    def _insert(
        self, partition: str, document_id: str, generation: int, ids: list[str], vectors: Vectors
    ) -> None:
        """Insert or replace rows in one transaction."""
        self._ensure_table(partition, vectors.shape[1])
        statement = text(
            f"INSERT INTO {_table(partition)} (id, content, embedding, document_id, generation) "  # noqa: S608
            "SELECT id, '', CAST(vector AS vector), :document_id, :generation "
            "FROM unnest(CAST(:ids AS text[]), CAST(:vectors AS text[])) AS new (id, vector) "
            "ON CONFLICT (id) DO UPDATE SET embedding = EXCLUDED.embedding, "
            "document_id = EXCLUDED.document_id, generation = EXCLUDED.generation"
        )
        with self._get_engine().begin() as connection:
            connection.execute(_EXTEND_TIMEOUT)
            connection.execute(
                statement,
                {
                    "ids": ids,
                    "vectors": [_to_text(vector) for vector in vectors],
                    "document_id": document_id,
                    "generation": generation,
                },
            )

    def _ensure_table(self, partition: str, dimensions: int) -> None:
        """Create the table and the indexes of the partition, unless they exist."""
        if partition in self._existing_partitions:
            return
        with self._exclusive_transaction() as connection:
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {_SCHEMA}"))
        with self._exclusive_transaction() as connection:
            connection.execute(_EXTEND_TIMEOUT)
            query = text("SELECT to_regclass(:table)")
            if connection.scalar(query, {"table": _table(partition)}) is None:
                _create_table(connection, partition, dimensions)
            # Tables of earlier versions do not have it. Without it, a search in few documents, and
            # deleting one, would read most of the table.
            _create_index(connection, partition, "document", "(document_id)")
        self._existing_partitions.add(partition)

    def _execute(self, statement: str, **parameters: Any) -> Sequence[SqlRow[Any]]:
        """Return the rows of *statement*; none if the table does not exist."""
        try:
            # Without round trips for the start and the end of a transaction.
            engine = self._get_engine().execution_options(isolation_level="AUTOCOMMIT")
            with self._map_errors(), engine.connect() as connection:
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
                options = " ".join(f"-c {name}={value}" for name, value in _OPTIONS.items())
                self._engine = create_engine(
                    self._url,
                    pool_pre_ping=True,
                    pool_timeout=5,
                    max_overflow=20,
                    connect_args={"connect_timeout": 2, "options": options},
                )
            return self._engine


def _table(partition: str) -> str:
    quoted = partition.replace('"', '""')
    return f'{_SCHEMA}."{quoted}"'


def _create_table(connection: Connection, partition: str, dimensions: int) -> None:
    # The column `content` is in the tables of earlier versions, which LangChain created.
    connection.execute(
        text(
            f"CREATE TABLE {_table(partition)} (id varchar(64) PRIMARY KEY, "
            f"content text NOT NULL, embedding vector({dimensions}) NOT NULL, "
            "document_id varchar(40) NOT NULL, generation integer NOT NULL)"
        )
    )
    if dimensions <= _MAX_INDEXED_DIMENSIONS:
        method = "USING hnsw (embedding vector_cosine_ops) WITH (m = 16, ef_construction = 100)"
        _create_index(connection, partition, "hnsw", method)


def _create_index(connection: Connection, partition: str, suffix: str, method: str) -> None:
    """Create the index *suffix* of the partition, unless it exists."""
    name = f"{partition}_{suffix}".replace('"', '""')
    connection.execute(text(f'CREATE INDEX IF NOT EXISTS "{name}" ON {_table(partition)} {method}'))


def _to_text(vector: Vector) -> str:
    return str(vector.tolist())


def _is_missing(error: ProgrammingError) -> bool:
    return getattr(error.orig, "sqlstate", None) in _UNDEFINED_TABLE
