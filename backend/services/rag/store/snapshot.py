"""What a backup asks of the tables as they were at one moment, and what a restore sets right."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sqlalchemy import Connection, Select, and_, delete, func, select, tuple_, update

from backend.services.rag.store.documents import DocumentRow
from backend.services.rag.store.embeddings import EmbeddingRow, ModelRow

_AT_ONCE = 1000


class Original(NamedTuple):
    """The bytes of a document."""

    document_id: str
    blob: str
    sha256: str
    size: int


class Embedded(NamedTuple):
    """The passages that are shown of a document and that a model has."""

    model_id: str
    document_id: str
    collection_id: str
    suffix: str
    generation: int
    chunks: int

    @property
    def partition(self) -> tuple[str, str]:
        """What is the same for vectors that lie together."""
        return self.collection_id, self.model_id


def originals(connection: Connection) -> Iterator[Original]:
    last = ""
    while True:
        page = connection.execute(
            select(DocumentRow.id, DocumentRow.blob, DocumentRow.sha256, DocumentRow.size_bytes)
            .where(DocumentRow.id > last)
            .order_by(DocumentRow.id)
            .limit(_AT_ONCE)
        ).all()
        yield from (Original(*row) for row in page)
        if len(page) < _AT_ONCE:
            return
        last = page[-1].id


def embedded(connection: Connection) -> Iterator[Embedded]:
    """By partition, so that vectors of one lie together; of models that serve or are to."""
    for collection, model, suffix in connection.execute(_partitions()).all():
        last = ""
        while True:
            page = connection.execute(
                select(EmbeddingRow.document_id, EmbeddingRow.generation, EmbeddingRow.chunks)
                .join(DocumentRow, DocumentRow.id == EmbeddingRow.document_id)
                .where(
                    EmbeddingRow.model_id == model,
                    EmbeddingRow.generation == DocumentRow.generation,
                    DocumentRow.collection_id == collection,
                    EmbeddingRow.document_id > last,
                )
                .order_by(EmbeddingRow.document_id)
                .limit(_AT_ONCE)
            ).all()
            for document, generation, chunks in page:
                yield Embedded(model, document, collection, suffix, generation, chunks)
            if len(page) < _AT_ONCE:
                break
            last = page[-1].document_id


def count_embedded(connection: Connection) -> int:
    query = (
        select(func.coalesce(func.sum(EmbeddingRow.chunks), 0))
        .join(DocumentRow, DocumentRow.id == EmbeddingRow.document_id)
        .where(EmbeddingRow.generation == DocumentRow.generation)
    )
    return int(connection.scalar(query) or 0)


def queue_unfinished(connection: Connection) -> None:
    """What was being read is read again: from its kept text where that is there."""
    unread = DocumentRow.status.in_(("queued", "processing"))
    nobodys = {"claim": None, "heartbeat": None, "not_before": None, "attempts": 0}
    connection.execute(
        update(DocumentRow)
        .where(unread, DocumentRow.indexed.is_(None))
        .values(**nobodys, status="queued", stage="queued", done=0, total=0)
    )
    connection.execute(
        update(DocumentRow)
        .where(unread, DocumentRow.indexed.is_not(None))
        .values(**nobodys, done=0, indexed=0)
    )


def know_only(connection: Connection, store: str, brought: Mapping[tuple[str, str], int]) -> int:
    """Let models know what was brought by model and document; how many documents they lack now.

    *store* is the kind of store that holds the vectors from now on.
    """
    connection.execute(update(ModelRow).values(store=store, worked_until=None))
    shown = and_(
        DocumentRow.id == EmbeddingRow.document_id,
        DocumentRow.generation == EmbeddingRow.generation,
    )
    unshown = ~select(DocumentRow.id).where(shown).exists()
    connection.execute(delete(EmbeddingRow).where(unshown))
    said = connection.execute(
        select(EmbeddingRow.model_id, EmbeddingRow.document_id, EmbeddingRow.chunks)
    ).all()
    lacking = [(m, d) for m, d, chunks in said if brought.get((m, d), 0) != chunks]
    for start in range(0, len(lacking), _AT_ONCE // 10):
        part = lacking[start : start + _AT_ONCE // 10]
        keys = tuple_(EmbeddingRow.model_id, EmbeddingRow.document_id)
        connection.execute(delete(EmbeddingRow).where(keys.in_(part)))
    return len({document for _, document in lacking})


def _partitions() -> Select[tuple[str, str, str]]:
    return (
        select(DocumentRow.collection_id, ModelRow.id, ModelRow.suffix)
        .join(EmbeddingRow, EmbeddingRow.document_id == DocumentRow.id)
        .join(ModelRow, ModelRow.id == EmbeddingRow.model_id)
        .where(ModelRow.state.in_(("serving", "building")))
        .distinct()
        .order_by(DocumentRow.collection_id, ModelRow.id)
    )
