"""Stored vectors of the sentences of chunks. They are derived data that can be made again."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    ForeignKey,
    LargeBinary,
    String,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    tuple_,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.services.rag.store.base import Base, is_old_generation
from backend.services.rag.store.chunks import ChunkRow
from backend.services.rag.store.documents import DocumentRow
from backend.services.rag.store.embeddings import IncompleteDocument, TenantScope
from backend.services.rag.store.multilingual_tenants import SERVED_STATES, select_tenants


class SentenceVectorsRow(Base):
    """The vectors of the sentences of one chunk.

    Rows of a generation are added in the order of the chunks: it is complete if its last chunk has
    a row.
    """

    __tablename__ = "sentence_vectors"

    document_id: Mapped[str] = mapped_column(
        ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True
    )
    generation: Mapped[int] = mapped_column(primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    # Name of the embedding model. Vectors of another model are replaced.
    model: Mapped[str] = mapped_column(String(300))
    # For each sentence, the hash of its text (little-endian uint64) and its vector (int8).
    hashes: Mapped[bytes] = mapped_column(LargeBinary)
    vectors: Mapped[bytes] = mapped_column(LargeBinary)


class SentenceVectors(NamedTuple):
    """The stored columns of the vectors of one chunk."""

    hashes: bytes
    vectors: bytes


NO_SENTENCES: Final = SentenceVectors(b"", b"")


def load_sentence_vectors(
    session: Session, chunk_ids: Sequence[str], model: str
) -> Mapping[str, SentenceVectors]:
    """Return the vectors under *model* by chunk id. Chunks without vectors are left out."""
    values = {"chunk_ids": chunk_ids, "model": model}
    rows = session.execute(_VECTORS_OF_CHUNKS, values)
    return {chunk_id: SentenceVectors(*columns) for chunk_id, *columns in rows}


# Each search executes it. Building a statement takes as long as executing it.
_VECTORS_OF_CHUNKS: Final = (
    select(ChunkRow.id, SentenceVectorsRow.hashes, SentenceVectorsRow.vectors)
    .join(
        ChunkRow,
        and_(
            ChunkRow.document_id == SentenceVectorsRow.document_id,
            ChunkRow.generation == SentenceVectorsRow.generation,
            ChunkRow.ordinal == SentenceVectorsRow.ordinal,
        ),
    )
    .where(
        ChunkRow.id.in_(bindparam("chunk_ids", expanding=True)),
        SentenceVectorsRow.model == bindparam("model", type_=String),
    )
)


def save_sentence_vectors(
    session: Session,
    document_id: str,
    generation: int,
    first_ordinal: int,
    model: str,
    vectors: Sequence[SentenceVectors],
) -> bool:
    """Store the vectors of the chunks from *first_ordinal* on, replacing older ones.

    Returns:
        False if the document was deleted, or has another generation meanwhile.
    """
    current = select(DocumentRow.id).where(
        DocumentRow.id == document_id, DocumentRow.generation == generation
    )
    if session.scalar(current) is None:
        return False
    key = {"document_id": document_id, "generation": generation}
    session.execute(
        delete(SentenceVectorsRow)
        .filter_by(**key)
        .where(SentenceVectorsRow.ordinal.between(first_ordinal, first_ordinal + len(vectors) - 1))
    )
    rows = [
        {**key, "ordinal": ordinal, "model": model, **item._asdict()}
        for ordinal, item in enumerate(vectors, first_ordinal)
    ]
    session.execute(insert(SentenceVectorsRow), rows)
    return True


def get_next_ordinal(session: Session, document_id: str, generation: int, model: str) -> int:
    """Return the ordinal of the first chunk after those with vectors."""
    query = select(func.coalesce(func.max(SentenceVectorsRow.ordinal) + 1, 0)).where(
        SentenceVectorsRow.document_id == document_id,
        SentenceVectorsRow.generation == generation,
        SentenceVectorsRow.model == model,
    )
    return session.scalar(query) or 0


def list_documents_without_vectors(
    session: Session, model: str, scope: TenantScope, limit: int
) -> list[IncompleteDocument]:
    """Return visible documents whose sentences have no vectors under *model*, newest first."""
    query = (
        select(
            DocumentRow.id,
            DocumentRow.tenant_id,
            DocumentRow.collection_id,
            DocumentRow.generation,
            DocumentRow.chunks,
        )
        .where(_lacks_vectors(model, scope))
        .order_by(DocumentRow.id.desc())
        .limit(limit)
    )
    return [IncompleteDocument(*row) for row in session.execute(query)]


def count_documents_without_vectors(session: Session, model: str, scope: TenantScope) -> int:
    query = select(func.count()).select_from(DocumentRow).where(_lacks_vectors(model, scope))
    return session.scalar(query) or 0


def delete_old_sentence_vectors(
    session: Session, document_id: str, keep_generation: int, limit: int, *, keep_newer: bool
) -> int:
    """Delete the vectors of up to *limit* chunks of other generations than *keep_generation*.

    Args:
        keep_newer: keep the vectors of later generations too.

    Returns:
        The number of chunks.
    """
    is_old = is_old_generation(
        SentenceVectorsRow.generation, keep_generation, keep_newer=keep_newer
    )
    # The row of a chunk has some kilobytes, so that deleting all at once would take long.
    oldest = (
        select(SentenceVectorsRow.generation, SentenceVectorsRow.ordinal)
        .where(SentenceVectorsRow.document_id == document_id, is_old)
        .limit(limit)
    )
    key = tuple_(SentenceVectorsRow.generation, SentenceVectorsRow.ordinal)
    keys = [tuple(row) for row in session.execute(oldest)]
    session.execute(
        delete(SentenceVectorsRow).where(
            SentenceVectorsRow.document_id == document_id, key.in_(keys)
        )
    )
    return len(keys)


def _lacks_vectors(model: str, scope: TenantScope) -> ColumnElement[bool]:
    last_chunk = select(SentenceVectorsRow.document_id).where(
        SentenceVectorsRow.document_id == DocumentRow.id,
        SentenceVectorsRow.generation == DocumentRow.generation,
        SentenceVectorsRow.ordinal == DocumentRow.chunks - 1,
        SentenceVectorsRow.model == model,
    )
    is_visible = and_(DocumentRow.generation > 0, DocumentRow.chunks > 0)
    served = select_tenants(*SERVED_STATES)
    if scope == "multilingual":
        is_visible = and_(is_visible, DocumentRow.tenant_id.in_(served))
    elif scope == "others":
        is_visible = and_(is_visible, DocumentRow.tenant_id.not_in(served))
    return and_(is_visible, ~last_chunk.exists())
