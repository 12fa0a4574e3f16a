"""PostgreSQL with pgvector: a table with an HNSW index for each partition, in a schema of its own.

LangChain's integration makes the tables and indexes and puts rows in. It does not search here:
it would send the vector of every hit along, and 100 of them are half a megabyte of digits.
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

from backend.services.rag.errors import VectorsUnavailable
from backend.services.rag.store.vectors import IMPORTING, Row, Rows, Stored

if TYPE_CHECKING:
    from langchain_postgres import PGEngine, PGVectorStore

_SCHEMA = "rag_vectors"
_COLUMNS = ("document_id", "generation")
_ID = "id"
# The widest vector that an HNSW index takes; wider ones are compared one by one.
_MOST_INDEXED_DIMENSIONS = 2000
_READ_AT_ONCE = 2000
# The table, or the schema that it would be in.
_NO_SUCH_TABLE = ("42P01", "3F000")
_NOT_ALLOWED = "42501"
_LOCK = 0x52414756
_OPTIONS = {
    "statement_timeout": "10s",
    "hnsw.ef_search": "200",
    # A filter must not use up what the index proposes.
    "hnsw.iterative_scan": "strict_order",
}
# Each row is a commit of LangChain's; one that is synchronous comes after all of them.
_WRITING_OPTIONS = {"statement_timeout": "30s", "synchronous_commit": "off"}


class PgVectors:
    """Connects at its first use. The user at *url* owns the schema."""

    def __init__(self, url: str) -> None:
        self._url = "postgresql+psycopg://" + url.partition("://")[2]
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._writing: PGEngine | None = None
        self._made: set[str] = set()

    def add(
        self, partition: str, document_id: str, generation: int, ids: Sequence[str], rows: Rows
    ) -> None:
        place = dict(zip(_COLUMNS, (document_id, generation), strict=True))
        with self._answering():
            try:
                self._put(partition, place, list(ids), rows)
            except ProgrammingError as error:
                if not _is_missing(error):
                    raise
                self._made.discard(partition)  # dropped by another process
                self._put(partition, place, list(ids), rows)
        self._ask("SELECT txid_current()")

    def nearest(
        self, partition: str, vector: Row, limit: int, documents: Collection[str] | None = None
    ) -> dict[str, float]:
        if documents is not None and not documents:
            return {}
        distance = "embedding <=> CAST(:vector AS vector)"
        within = "" if documents is None else "WHERE document_id = ANY(:documents)"
        found = self._ask(
            f"SELECT id, 1 - ({distance}) FROM {_table(partition)} {within} "  # noqa: S608
            f"ORDER BY {distance} LIMIT :limit",
            vector=str(vector.tolist()),
            limit=limit,
            documents=None if documents is None else list(documents),
        )
        return {str(key): float(cosine) for key, cosine in found}

    def forget(self, partition: str, document_id: str, but_generation: int = 0) -> None:
        self._ask(
            f"DELETE FROM {_table(partition)} "  # noqa: S608
            "WHERE document_id = :document_id AND generation <> :generation",
            document_id=document_id,
            generation=but_generation,
        )

    def remove(self, partition: str, ids: Sequence[str]) -> None:
        self._ask(f"DELETE FROM {_table(partition)} WHERE id = ANY(:ids)", ids=list(ids))  # noqa: S608

    def drop(self, partition: str) -> None:
        self._made.discard(partition)
        self._ask(f"DROP TABLE IF EXISTS {_table(partition)}")

    def partitions(self) -> list[str]:
        query = "SELECT tablename FROM pg_tables WHERE schemaname = :schema ORDER BY tablename"
        return [str(row[0]) for row in self._ask(query, schema=_SCHEMA)]

    def stored(self, partition: str) -> Iterator[Stored]:
        last = ""
        while True:
            page = self._ask(
                f"SELECT id, document_id, generation FROM {_table(partition)} "  # noqa: S608
                "WHERE id > :last ORDER BY id LIMIT :limit",
                last=last,
                limit=_READ_AT_ONCE,
            )
            yield from (Stored(*row) for row in page)
            if len(page) < _READ_AT_ONCE:
                return
            last = page[-1][0]

    def fetch(self, partition: str, ids: Sequence[str]) -> dict[str, Row]:
        found = self._ask(
            f"SELECT id, embedding::real[] FROM {_table(partition)} WHERE id = ANY(:ids)",  # noqa: S608
            ids=list(ids),
        )
        return {str(key): np.array(vector, np.float32) for key, vector in found}

    def check(self) -> None:
        self._ask("SELECT 1")

    def close(self) -> None:
        with self._lock:
            engine, self._engine = self._engine, None
            writing, self._writing = self._writing, None
        if engine is not None:
            engine.dispose()
        if writing is not None:
            writing._run_as_sync(writing._pool.dispose())

    def _put(self, partition: str, place: Mapping[str, Any], ids: list[str], rows: Rows) -> None:
        self._ensure(partition, rows)
        self._store(partition, rows).add_embeddings(
            texts=[""] * len(ids),
            embeddings=[row.tolist() for row in rows],
            metadatas=[dict(place) for _ in ids],
            ids=ids,
        )

    def _ensure(self, partition: str, rows: Rows) -> None:
        """Make the partition's table and index, unless they are there."""
        if partition in self._made:
            return
        with self._alone() as connection:
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {_SCHEMA}"))
        with self._alone() as connection:
            known = text("SELECT to_regclass(:table)")
            if connection.scalar(known, {"table": _table(partition)}) is None:
                self._make(partition, rows)
        self._made.add(partition)

    def _make(self, partition: str, rows: Rows) -> None:
        with IMPORTING:
            from langchain_postgres.v2.engine import Column
            from langchain_postgres.v2.indexes import HNSWIndex

        self._writer().init_vectorstore_table(
            partition,
            rows.shape[1],
            schema_name=_SCHEMA,
            metadata_columns=[
                Column("document_id", "VARCHAR(40)", nullable=False),
                Column("generation", "INTEGER", nullable=False),
            ],
            id_column=Column(_ID, "VARCHAR(64)", nullable=False),
            store_metadata=False,
        )
        if rows.shape[1] <= _MOST_INDEXED_DIMENSIONS:
            index = HNSWIndex(name=f"{partition}_hnsw", m=16, ef_construction=100)
            self._store(partition, rows).apply_vector_index(index)

    def _store(self, partition: str, rows: Rows) -> "PGVectorStore":
        with IMPORTING:
            from langchain_postgres import PGVectorStore

            from backend.services.rag.store.vectors.precomputed import Precomputed

        return PGVectorStore.create_sync(
            self._writer(),
            Precomputed(rows),
            partition,
            schema_name=_SCHEMA,
            metadata_columns=list(_COLUMNS),
            id_column=_ID,
        )

    def _ask(self, statement: str, **given: Any) -> Sequence[SqlRow[Any]]:
        """The rows that come; none where the table is not there."""
        try:
            with self._answering(), self._connected().begin() as connection:
                result = connection.execute(text(statement), given)
                return result.all() if result.returns_rows else []
        except ProgrammingError as error:
            if _is_missing(error):
                return []
            raise

    @contextmanager
    def _alone(self) -> Iterator[Connection]:
        """A transaction during which no other process makes a table."""
        with self._connected().begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            yield connection

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except ProgrammingError as error:
            if getattr(error.orig, "sqlstate", None) == _NOT_ALLOWED:
                raise VectorsUnavailable(
                    "Let a superuser run this in the vectors' database: CREATE EXTENSION vector."
                ) from error
            raise
        except (DBAPIError, PoolTimeout) as error:
            raise VectorsUnavailable(str(error.__cause__ or error)) from error

    def _connected(self) -> Engine:
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

    def _writer(self) -> "PGEngine":
        with IMPORTING:
            from langchain_postgres import PGEngine

        with self._lock:
            if self._writing is None:
                self._writing = PGEngine.from_connection_string(
                    self._url, pool_pre_ping=True, connect_args=_connect_args(_WRITING_OPTIONS)
                )
            return self._writing


def _table(partition: str) -> str:
    quoted = partition.replace('"', '""')
    return f'{_SCHEMA}."{quoted}"'


def _connect_args(options: Mapping[str, str]) -> dict[str, Any]:
    told = " ".join(f"-c {name}={value}" for name, value in options.items())
    return {"connect_timeout": 2, "options": told}


def _is_missing(error: ProgrammingError) -> bool:
    return getattr(error.orig, "sqlstate", None) in _NO_SUCH_TABLE
