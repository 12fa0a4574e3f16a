"""Queries of a backup on a consistent snapshot of the tables, and corrections after a restore."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sqlalchemy import Connection, Select, and_, delete, func, select, tuple_, update

from backend.services.rag.store.documents import DocumentRow
from backend.services.rag.store.embeddings import EmbeddingModelRow, EmbeddingRow

_BATCH_SIZE = 1000
_DELETE_BATCH_SIZE = 100


class OriginalFile(NamedTuple):
    """The uploaded file of a document."""

    document_id: str
    blob: str
    sha256: str
    size_bytes: int


class EmbeddedDocument(NamedTuple):
    """The visible chunks of a document that a model has embedded."""

    model_id: str
    document_id: str
    collection_id: str
    suffix: str
    generation: int
    chunks: int

    @property
    def partition(self) -> tuple[str, str]:
        """Collection and model, which determine the partition of the vectors."""
        return self.collection_id, self.model_id


def iterate_originals(connection: Connection) -> Iterator[OriginalFile]:
    last = ""
    while True:
        page = connection.execute(
            select(DocumentRow.id, DocumentRow.blob, DocumentRow.sha256, DocumentRow.size_bytes)
            .where(DocumentRow.id > last)
            .order_by(DocumentRow.id)
            .limit(_BATCH_SIZE)
        ).all()
        yield from (OriginalFile(*row) for row in page)
        if len(page) < _BATCH_SIZE:
            return
        last = page[-1].id


def iterate_embedded_documents(connection: Connection) -> Iterator[EmbeddedDocument]:
    """Yield embeddings grouped by partition, of all embedding models in use."""
    for collection_id, model_id, suffix in connection.execute(_partitions()).all():
        last = ""
        while True:
            page = connection.execute(
                select(EmbeddingRow.document_id, EmbeddingRow.generation, EmbeddingRow.chunks)
                .join(DocumentRow, DocumentRow.id == EmbeddingRow.document_id)
                .where(
                    EmbeddingRow.model_id == model_id,
                    EmbeddingRow.generation == DocumentRow.generation,
                    DocumentRow.collection_id == collection_id,
                    EmbeddingRow.document_id > last,
                )
                .order_by(EmbeddingRow.document_id)
                .limit(_BATCH_SIZE)
            ).all()
            for document_id, generation, chunks in page:
                yield EmbeddedDocument(
                    model_id, document_id, collection_id, suffix, generation, chunks
                )
            if len(page) < _BATCH_SIZE:
                break
            last = page[-1].document_id


def count_embedded_chunks(connection: Connection) -> int:
    query = (
        select(func.coalesce(func.sum(EmbeddingRow.chunks), 0))
        .join(DocumentRow, DocumentRow.id == EmbeddingRow.document_id)
        .where(EmbeddingRow.generation == DocumentRow.generation)
    )
    return int(connection.scalar(query) or 0)


def requeue_unfinished(connection: Connection) -> None:
    """Requeue documents whose ingestion was not finished when the snapshot was taken.

    Documents with stored text resume with their first chunk, others with extraction.
    """
    unfinished = DocumentRow.status.in_(("queued", "processing"))
    unclaimed = {"claim": None, "heartbeat": None, "not_before": None, "attempts": 0}
    connection.execute(
        update(DocumentRow)
        .where(unfinished, DocumentRow.indexed.is_(None))
        .values(**unclaimed, status="queued", stage="queued", done=0, total=0)
    )
    connection.execute(
        update(DocumentRow)
        .where(unfinished, DocumentRow.indexed.is_not(None))
        .values(**unclaimed, done=0, indexed=0)
    )


def reconcile_embeddings(
    connection: Connection, store: str, restored: Mapping[tuple[str, str], int]
) -> int:
    """Delete the embedding records of vectors that were not restored.

    Args:
        store: kind of the vector store that contains the restored vectors.
        restored: number of restored chunks by model id and document id.

    Returns:
        The number of documents that must be embedded again.
    """
    connection.execute(update(EmbeddingModelRow).values(store=store, worked_until=None))
    is_visible = and_(
        DocumentRow.id == EmbeddingRow.document_id,
        DocumentRow.generation == EmbeddingRow.generation,
    )
    is_stale = ~select(DocumentRow.id).where(is_visible).exists()
    connection.execute(delete(EmbeddingRow).where(is_stale))
    recorded = connection.execute(
        select(EmbeddingRow.model_id, EmbeddingRow.document_id, EmbeddingRow.chunks)
    ).all()
    missing = [
        (model_id, document_id)
        for model_id, document_id, chunks in recorded
        if restored.get((model_id, document_id), 0) != chunks
    ]
    for start in range(0, len(missing), _DELETE_BATCH_SIZE):
        batch = missing[start : start + _DELETE_BATCH_SIZE]
        keys = tuple_(EmbeddingRow.model_id, EmbeddingRow.document_id)
        connection.execute(delete(EmbeddingRow).where(keys.in_(batch)))
    return len({document_id for _, document_id in missing})


def _partitions() -> Select[tuple[str, str, str]]:
    return (
        select(DocumentRow.collection_id, EmbeddingModelRow.id, EmbeddingModelRow.suffix)
        .join(EmbeddingRow, EmbeddingRow.document_id == DocumentRow.id)
        .join(EmbeddingModelRow, EmbeddingModelRow.id == EmbeddingRow.model_id)
        .where(EmbeddingModelRow.state.in_(("serving", "building", "selected")))
        .distinct()
        .order_by(DocumentRow.collection_id, EmbeddingModelRow.id)
    )
