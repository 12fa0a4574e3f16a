"""What the tables say of themselves, for comparing with files and vectors."""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import Select, and_, delete, exists, or_, select
from sqlalchemy.orm import Session

from backend.services.rag.store.chunks import ChunkRow
from backend.services.rag.store.collections import CollectionRow
from backend.services.rag.store.documents import DocumentRow, PageRow, RemovalRow
from backend.services.rag.store.embeddings import EmbeddingRow, ModelRow


def originals(session: Session) -> list[tuple[str, str, str]]:
    """Each document with the name and the digest of its bytes."""
    query = select(DocumentRow.id, DocumentRow.blob, DocumentRow.sha256).order_by(DocumentRow.id)
    return [tuple(row) for row in session.execute(query)]


def shown(session: Session) -> Sequence[str]:
    """Documents with passages to show, but for those that are to be cut up anew as it is."""
    query = select(DocumentRow.id).where(DocumentRow.generation > 0, DocumentRow.status == "ready")
    return session.scalars(query.order_by(DocumentRow.id)).all()


def passages_agree(session: Session, document_id: str) -> bool:
    """Whether each passage is the text from its start to its end, and all of them are there."""
    row = session.get(DocumentRow, document_id)
    if row is None or row.status != "ready":
        return True  # deleted or put back into the queue meanwhile
    place = PageRow.document_id == document_id, PageRow.generation == row.generation
    pages = session.execute(
        select(PageRow.start, PageRow.text).where(*place).order_by(PageRow.number)
    ).all()
    text = ""
    for start, page in pages:
        if start != len(text):
            return False
        text += page
    chunks = session.scalars(
        select(ChunkRow)
        .where(ChunkRow.document_id == document_id, ChunkRow.generation == row.generation)
        .order_by(ChunkRow.ordinal)
    ).all()
    return [chunk.ordinal for chunk in chunks] == list(range(row.chunks)) and all(
        chunk.text == text[chunk.start : chunk.end] for chunk in chunks
    )


def with_rests(session: Session) -> Sequence[str]:
    """Documents that are ready and have pages or passages of other generations."""
    of_pages = exists().where(
        PageRow.document_id == DocumentRow.id, PageRow.generation != DocumentRow.generation
    )
    of_chunks = exists().where(
        ChunkRow.document_id == DocumentRow.id, ChunkRow.generation != DocumentRow.generation
    )
    query = select(DocumentRow.id).where(DocumentRow.status == "ready", or_(of_pages, of_chunks))
    return session.scalars(query.order_by(DocumentRow.id)).all()


def drop_rests(session: Session, document_id: str) -> bool:
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


def collections(session: Session) -> Sequence[str]:
    return session.scalars(select(CollectionRow.id).order_by(CollectionRow.id)).all()


def leaving_collections(session: Session) -> set[str]:
    """Deleted ones whose vectors wait to be cleared away."""
    return set(session.scalars(select(RemovalRow.collection_id)))


def suffixes(session: Session) -> set[str]:
    """The ends of the partitions' names of all models that there are."""
    return set(session.scalars(select(ModelRow.suffix)))


def passage_ids(session: Session, collection_id: str) -> dict[str, set[str]]:
    """The passages that are shown, by document."""
    return _by_document(session, _shown_in(collection_id))


def embedded_ids(session: Session, model_id: str, collection_id: str) -> dict[str, set[str]]:
    """Those of them that the model is said to know."""
    said = and_(
        EmbeddingRow.document_id == ChunkRow.document_id,
        EmbeddingRow.generation == ChunkRow.generation,
        EmbeddingRow.model_id == model_id,
        ChunkRow.ordinal < EmbeddingRow.chunks,
    )
    return _by_document(session, _shown_in(collection_id).join(EmbeddingRow, said))


def _shown_in(collection_id: str) -> Select[tuple[str, str]]:
    return (
        select(ChunkRow.document_id, ChunkRow.id)
        .join(DocumentRow, DocumentRow.id == ChunkRow.document_id)
        .where(
            DocumentRow.collection_id == collection_id,
            ChunkRow.generation == DocumentRow.generation,
        )
    )


def _by_document(session: Session, query: Select[tuple[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for document_id, chunk_id in session.execute(query):
        found[document_id].add(chunk_id)
    return found


def unsettled(session: Session, collection_id: str) -> set[str]:
    """Documents that are being read, embedded, moved or cleared away: their vectors change."""
    moving = select(DocumentRow.id).where(
        DocumentRow.collection_id == collection_id,
        DocumentRow.status.in_(("queued", "processing")),
    )
    leaving = select(RemovalRow.document_id).where(
        RemovalRow.collection_id == collection_id, RemovalRow.document_id.is_not(None)
    )
    return {*session.scalars(moving), *(each for each in session.scalars(leaving) if each)}
