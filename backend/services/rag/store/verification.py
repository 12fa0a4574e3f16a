"""Queries that compare the tables with each other, with files and with vectors."""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import Select, and_, delete, exists, or_, select
from sqlalchemy.orm import Session

from backend.services.rag.store.chunks import ChunkRow
from backend.services.rag.store.collections import CollectionRow
from backend.services.rag.store.documents import DocumentRow, PageRow, RemovalRow
from backend.services.rag.store.embeddings import EmbeddingModelRow, EmbeddingRow


def list_originals(session: Session) -> list[tuple[str, str, str]]:
    """Return document id, blob name and SHA-256 digest of each document."""
    query = select(DocumentRow.id, DocumentRow.blob, DocumentRow.sha256).order_by(DocumentRow.id)
    return [tuple(row) for row in session.execute(query)]


def list_ready_documents(session: Session) -> Sequence[str]:
    """Return the ids of documents with visible chunks that are not being reprocessed."""
    query = select(DocumentRow.id).where(DocumentRow.generation > 0, DocumentRow.status == "ready")
    return session.scalars(query.order_by(DocumentRow.id)).all()


def chunks_match_text(session: Session, document_id: str) -> bool:
    """Check that the document has all its chunks and that each equals its span of the text."""
    row = session.get(DocumentRow, document_id)
    if row is None or row.status != "ready":
        return True  # deleted or requeued meanwhile
    pages = session.scalars(
        select(PageRow)
        .where(PageRow.document_id == document_id, PageRow.generation == row.generation)
        .order_by(PageRow.number)
    ).all()
    text = ""
    for page in pages:
        if page.start != len(text):
            return False
        text += page.text
    chunks = session.scalars(
        select(ChunkRow)
        .where(ChunkRow.document_id == document_id, ChunkRow.generation == row.generation)
        .order_by(ChunkRow.ordinal)
    ).all()
    return [chunk.ordinal for chunk in chunks] == list(range(row.chunks)) and all(
        chunk.text == text[chunk.start : chunk.end] for chunk in chunks
    )


def list_documents_with_stale_text(session: Session) -> Sequence[str]:
    """Return ready documents with pages or chunks of generations that are not visible."""
    stale_pages = exists().where(
        PageRow.document_id == DocumentRow.id, PageRow.generation != DocumentRow.generation
    )
    stale_chunks = exists().where(
        ChunkRow.document_id == DocumentRow.id, ChunkRow.generation != DocumentRow.generation
    )
    query = select(DocumentRow.id).where(
        DocumentRow.status == "ready", or_(stale_pages, stale_chunks)
    )
    return session.scalars(query.order_by(DocumentRow.id)).all()


def delete_stale_text(session: Session, document_id: str) -> bool:
    """Delete pages and chunks of other generations. Return False if the document is not ready."""
    row = session.get(DocumentRow, document_id, with_for_update=True)
    if row is None or row.status != "ready":
        return False
    for table in (PageRow, ChunkRow):
        session.execute(
            delete(table).where(
                table.document_id == document_id, table.generation != row.generation
            )
        )
    return True


def list_collection_ids(session: Session) -> Sequence[str]:
    return session.scalars(select(CollectionRow.id).order_by(CollectionRow.id)).all()


def list_collections_in_cleanup(session: Session) -> set[str]:
    """Return the ids of collections with pending removals, including deleted collections."""
    return set(session.scalars(select(RemovalRow.collection_id)))


def list_partition_suffixes(session: Session) -> set[str]:
    """Return the partition name suffixes of all embedding models."""
    return set(session.scalars(select(EmbeddingModelRow.suffix)))


def list_chunk_ids(session: Session, collection_id: str) -> dict[str, set[str]]:
    """Return the ids of the visible chunks by document id."""
    return _group_by_document(session, _select_visible_chunks(collection_id))


def list_embedded_chunk_ids(
    session: Session, model_id: str, collection_id: str
) -> dict[str, set[str]]:
    """Return the ids of the visible chunks that are recorded as embedded by the model."""
    is_embedded = and_(
        EmbeddingRow.document_id == ChunkRow.document_id,
        EmbeddingRow.generation == ChunkRow.generation,
        EmbeddingRow.model_id == model_id,
        ChunkRow.ordinal < EmbeddingRow.chunks,
    )
    query = _select_visible_chunks(collection_id).join(EmbeddingRow, is_embedded)
    return _group_by_document(session, query)


def _select_visible_chunks(collection_id: str) -> Select[tuple[str, str]]:
    return (
        select(ChunkRow.document_id, ChunkRow.id)
        .join(DocumentRow, DocumentRow.id == ChunkRow.document_id)
        .where(
            DocumentRow.collection_id == collection_id,
            ChunkRow.generation == DocumentRow.generation,
        )
    )


def _group_by_document(session: Session, query: Select[tuple[str, str]]) -> dict[str, set[str]]:
    chunk_ids: dict[str, set[str]] = defaultdict(set)
    for document_id, chunk_id in session.execute(query):
        chunk_ids[document_id].add(chunk_id)
    return chunk_ids


def list_changing_documents(session: Session, collection_id: str) -> set[str]:
    """Return the ids of documents that are processed, moved or removed: their vectors change."""
    unfinished = select(DocumentRow.id).where(
        DocumentRow.collection_id == collection_id,
        DocumentRow.status.in_(("queued", "processing")),
    )
    removed = select(RemovalRow.document_id).where(
        RemovalRow.collection_id == collection_id, RemovalRow.document_id.is_not(None)
    )
    return {*session.scalars(unfinished), *filter(None, session.scalars(removed))}
