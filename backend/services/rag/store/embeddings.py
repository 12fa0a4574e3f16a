"""Embedding models, and the number of chunks of each document that they have embedded."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple, TypeVar

from sqlalchemy import (
    ColumnElement,
    ForeignKey,
    Select,
    String,
    and_,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.types import UtcDateTime
from backend.services.rag.store.base import Base, new_id, utc_now
from backend.services.rag.store.chunks import ChunkRow
from backend.services.rag.store.documents import DocumentRow
from backend.services.rag.store.leases import is_free
from backend.services.rag.store.multilingual_tenants import (
    SERVED_STATES,
    MultilingualTenantRow,
    select_tenants,
)

# One model is `serving`. One may be `building`: missing chunks are embedded in the background, then
# it becomes serving. The previous model is `leaving` until no process can use it, then `dropping`.
# One may be `selected`: it serves the tenants of the table multilingual_tenants.
ModelState = Literal["serving", "building", "selected", "leaving", "dropping"]
# The tenants whose documents a model embeds: all, those that the selected model serves or will
# serve, or those that it does not serve yet.
TenantScope = Literal["all", "multilingual", "others"]

# Number of documents that suffices to detect missing vectors and is below the maximum number of
# query parameters.
_MAX_CHECKED_DOCUMENTS = 500

# Chunks from which the language of a document is detected.
_SAMPLE_CHUNKS = 5

_Row = TypeVar("_Row", bound=tuple[Any, ...])


class EmbeddingModelRow(Base):
    __tablename__ = "embedding_models"

    id: Mapped[str] = mapped_column(String(40), primary_key=True, default=lambda: new_id("emb"))
    name: Mapped[str] = mapped_column(String(300))
    address: Mapped[str | None] = mapped_column(String(1000))
    # Suffix of the model's partition names. It is empty for the model of installations from before
    # models were selectable.
    suffix: Mapped[str] = mapped_column(String(16))
    # Kind of the vector store that contains the model's partitions. A store of another kind starts
    # empty.
    store: Mapped[str] = mapped_column(String(16))
    state: Mapped[ModelState] = mapped_column(String(16))
    since: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    # End of the lease of the process that embeds missing chunks; None without a lease.
    worked_until: Mapped[datetime | None] = mapped_column(UtcDateTime)


class EmbeddingRow(Base):
    """Record that the first *chunks* chunks of a generation are in the model's partition."""

    __tablename__ = "embeddings"

    document_id: Mapped[str] = mapped_column(
        ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True
    )
    generation: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[str] = mapped_column(
        ForeignKey("embedding_models.id", ondelete="CASCADE"), primary_key=True
    )
    chunks: Mapped[int]


class IncompleteDocument(NamedTuple):
    """A document with chunks that a model has not embedded."""

    document_id: str
    tenant_id: str
    collection_id: str
    generation: int
    chunks: int


def list_models(session: Session, *states: ModelState) -> Sequence[EmbeddingModelRow]:
    query = (
        select(EmbeddingModelRow)
        .where(EmbeddingModelRow.state.in_(states))
        .order_by(EmbeddingModelRow.since, EmbeddingModelRow.id)
    )
    return session.scalars(query).all()


def claim_model(session: Session, model_id: str, lease_seconds: float) -> bool:
    """Acquire the lease to embed chunks with the model. Return False if it is not available."""
    now = utc_now()
    lease_end = now + timedelta(seconds=lease_seconds)
    statement = (
        update(EmbeddingModelRow)
        .where(
            EmbeddingModelRow.id == model_id,
            is_free(EmbeddingModelRow.worked_until, now, lease_end),
        )
        .values(worked_until=lease_end)
    )
    result: CursorResult[tuple[()]] = session.execute(statement)  # type: ignore[assignment]
    return result.rowcount == 1


def release_model(session: Session, model_id: str) -> None:
    session.execute(
        update(EmbeddingModelRow).where(EmbeddingModelRow.id == model_id).values(worked_until=None)
    )


def count_embedded_chunks(
    session: Session, model_id: str, document_id: str, generation: int
) -> int:
    """Return the number of embedded chunks, counted from the first."""
    row = session.get(EmbeddingRow, (document_id, generation, model_id))
    return 0 if row is None else row.chunks


def record_embedded_chunks(
    session: Session, model_id: str, document_id: str, generation: int, chunks: int
) -> bool:
    """Record that the first *chunks* chunks are embedded. Return False if the document is gone."""
    if (
        session.get(DocumentRow, document_id) is None
        or session.get(EmbeddingModelRow, model_id) is None
    ):
        return False
    session.merge(
        EmbeddingRow(
            document_id=document_id, generation=generation, model_id=model_id, chunks=chunks
        )
    )
    return True


def delete_old_embeddings(session: Session, document_id: str, keep_generation: int) -> None:
    """Delete the records of all generations except *keep_generation*."""
    session.execute(
        delete(EmbeddingRow).where(
            EmbeddingRow.document_id == document_id, EmbeddingRow.generation != keep_generation
        )
    )


def delete_model_embeddings(session: Session, model_id: str) -> None:
    session.execute(delete(EmbeddingRow).where(EmbeddingRow.model_id == model_id))


def has_visible_chunks(
    session: Session, collection_id: str, document_ids: Collection[str] | None
) -> bool:
    """Return whether searches should find chunks in the collection, or in the given documents."""
    query = select(DocumentRow.id).where(
        DocumentRow.collection_id == collection_id,
        DocumentRow.generation > 0,
        DocumentRow.chunks > 0,
    )
    if document_ids is not None:
        query = query.where(DocumentRow.id.in_(list(document_ids)[:_MAX_CHECKED_DOCUMENTS]))
    return session.scalar(query.limit(1)) is not None


def reset_collection_embeddings(session: Session, model_id: str, collection_id: str) -> int:
    """Delete the model's records of the collection, to embed it again. Return their number."""
    documents = select(DocumentRow.id).where(DocumentRow.collection_id == collection_id)
    statement = delete(EmbeddingRow).where(
        EmbeddingRow.model_id == model_id, EmbeddingRow.document_id.in_(documents)
    )
    result: CursorResult[tuple[()]] = session.execute(
        statement, execution_options={"synchronize_session": False}
    )  # type: ignore[assignment]
    return result.rowcount


def reset_embedding(session: Session, model_id: str, document_id: str) -> None:
    """Delete the model's record of the document, so that the document is embedded again."""
    session.execute(
        delete(EmbeddingRow).where(
            EmbeddingRow.model_id == model_id, EmbeddingRow.document_id == document_id
        )
    )


def delete_model(session: Session, model_id: str) -> None:
    session.execute(delete(EmbeddingModelRow).where(EmbeddingModelRow.id == model_id))


def list_incomplete_documents(
    session: Session,
    model_id: str,
    limit: int,
    scope: TenantScope = "all",
    tenant_id: str | None = None,
) -> list[IncompleteDocument]:
    """Return visible documents that the model has not embedded completely, oldest first.

    Args:
        tenant_id: restricts the result to documents of this tenant.
    """
    query = _join_visible(
        model_id,
        scope,
        select(
            DocumentRow.id,
            DocumentRow.tenant_id,
            DocumentRow.collection_id,
            DocumentRow.generation,
            DocumentRow.chunks,
        ),
    )
    if tenant_id is not None:
        query = query.where(DocumentRow.tenant_id == tenant_id)
    query = query.where(_is_incomplete()).order_by(DocumentRow.id).limit(limit)
    return [IncompleteDocument(*row) for row in session.execute(query)]


def get_progress(
    session: Session, model_id: str, scope: TenantScope = "all"
) -> tuple[int, int, int, int]:
    """Return embedded documents, all documents, embedded chunks and all chunks."""
    complete = func.count().filter(~_is_incomplete())
    query = _join_visible(
        model_id,
        scope,
        select(
            complete,
            func.count(),
            func.coalesce(func.sum(func.coalesce(EmbeddingRow.chunks, 0)), 0),
            func.coalesce(func.sum(DocumentRow.chunks), 0),
        ),
    )
    embedded_documents, documents, embedded_chunks, chunks = session.execute(query).one()
    return int(embedded_documents), int(documents), int(embedded_chunks), int(chunks)


def list_chunks_to_embed(
    session: Session, document_id: str, generation: int, first_ordinal: int, limit: int
) -> tuple[str, Sequence[ChunkRow]]:
    """Return the title of the document and its chunks from *first_ordinal* on."""
    title = session.scalar(select(DocumentRow.title).where(DocumentRow.id == document_id))
    rows = session.scalars(
        select(ChunkRow)
        .where(
            ChunkRow.document_id == document_id,
            ChunkRow.generation == generation,
            ChunkRow.ordinal >= first_ordinal,
        )
        .order_by(ChunkRow.ordinal)
        .limit(limit)
    ).all()
    return title or "", rows


def list_samples_without_language(session: Session, limit: int) -> list[tuple[str, str, list[str]]]:
    """Return id, tenant and some chunks of visible documents whose language is not detected."""
    query = select(DocumentRow.id, DocumentRow.tenant_id, DocumentRow.generation).where(
        DocumentRow.language.is_(None), DocumentRow.generation > 0
    )
    return [
        (document_id, tenant_id, _list_samples(session, document_id, generation))
        for document_id, tenant_id, generation in session.execute(query.limit(limit)).all()
    ]


def _list_samples(session: Session, document_id: str, generation: int) -> list[str]:
    chunks = select(ChunkRow).where(
        ChunkRow.document_id == document_id, ChunkRow.generation == generation
    )
    rows = session.scalars(chunks.order_by(ChunkRow.ordinal).limit(_SAMPLE_CHUNKS))
    return [row.text for row in rows]


def set_language(session: Session, document_id: str, language: str) -> None:
    """Store the language of the document, unless it was stored meanwhile."""
    session.execute(
        update(DocumentRow)
        .where(DocumentRow.id == document_id, DocumentRow.language.is_(None))
        .values(language=language)
    )


def count_missing_chunks(session: Session, model_id: str, tenant_id: str) -> int:
    """Return the number of the tenant's visible chunks that the model has not embedded."""
    missing = DocumentRow.chunks - func.coalesce(EmbeddingRow.chunks, 0)
    query = _join_visible(model_id, "all", select(func.coalesce(func.sum(missing), 0)))
    query = query.where(DocumentRow.tenant_id == tenant_id, _is_incomplete())
    return int(session.scalar(query) or 0)


def delete_tenant_embeddings(session: Session, model_id: str, tenant_id: str) -> None:
    """Delete the model's records of the tenant's documents."""
    documents = select(DocumentRow.id).where(DocumentRow.tenant_id == tenant_id)
    session.execute(
        delete(EmbeddingRow).where(
            EmbeddingRow.model_id == model_id, EmbeddingRow.document_id.in_(documents)
        )
    )


def _join_visible(model_id: str, scope: TenantScope, query: Select[_Row]) -> Select[_Row]:
    """Return *query* over the scope's visible documents, outer-joined with the embeddings."""
    if scope == "multilingual":
        query = query.where(DocumentRow.tenant_id.in_(select(MultilingualTenantRow.tenant_id)))
    elif scope == "others":
        query = query.where(DocumentRow.tenant_id.not_in(select_tenants(*SERVED_STATES)))
    return (
        query.select_from(DocumentRow)
        .outerjoin(
            EmbeddingRow,
            and_(
                EmbeddingRow.document_id == DocumentRow.id,
                EmbeddingRow.generation == DocumentRow.generation,
                EmbeddingRow.model_id == model_id,
            ),
        )
        .where(DocumentRow.generation > 0)
    )


def _is_incomplete() -> ColumnElement[bool]:
    return func.coalesce(EmbeddingRow.chunks, 0) < DocumentRow.chunks
