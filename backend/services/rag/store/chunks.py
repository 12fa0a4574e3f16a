"""Passages: the rows that decide what may be shown, whatever an index says."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ForeignKey, Index, String, Text, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.services.rag.store.base import Base
from backend.services.rag.store.collections import CollectionRow, readable_by
from backend.services.rag.store.documents import DocumentRow


class ChunkRow(Base):
    __tablename__ = "chunks"
    __table_args__ = (Index("ix_chunks_place", "document_id", "generation", "ordinal"),)

    id: Mapped[str] = mapped_column(String(48), primary_key=True)
    document_id: Mapped[str] = mapped_column(ForeignKey("documents.id", ondelete="CASCADE"))
    generation: Mapped[int]
    ordinal: Mapped[int]
    page: Mapped[int | None]
    start: Mapped[int]
    end: Mapped[int]
    section: Mapped[str] = mapped_column(String(300))
    text: Mapped[str] = mapped_column(Text)


class Shown(NamedTuple):
    """A passage with what a reader is told of its document."""

    chunk_id: str
    document_id: str
    generation: int
    section: str
    page: int | None
    start: int
    end: int
    text: str
    filename: str
    title: str
    collection_id: str


def chunk_id(document_id: str, generation: int, ordinal: int) -> str:
    """The id of a passage says where it stands, so that an index need not keep it."""
    return f"chk_{document_id.partition('_')[2]}.{generation}.{ordinal}"


def shown(session: Session, tenant_id: str, user_id: str, ids: Sequence[str]) -> dict[str, Shown]:
    """Those of *ids* that still stand in a document the user may read now."""
    query = (
        select(
            ChunkRow.id,
            ChunkRow.document_id,
            ChunkRow.generation,
            ChunkRow.section,
            ChunkRow.page,
            ChunkRow.start,
            ChunkRow.end,
            ChunkRow.text,
            DocumentRow.filename,
            DocumentRow.title,
            DocumentRow.collection_id,
        )
        .join(DocumentRow, DocumentRow.id == ChunkRow.document_id)
        .join(CollectionRow, CollectionRow.id == DocumentRow.collection_id)
        .where(
            # By their ids: SQLite would look through all documents of the tenant if it could.
            ChunkRow.id.in_(ids),
            ChunkRow.generation == DocumentRow.generation,
            readable_by(tenant_id, user_id),
        )
    )
    return {row[0]: Shown(*row) for row in session.execute(query)}


def page(
    session: Session, document_id: str, generation: int, after: int, limit: int
) -> Sequence[ChunkRow]:
    return session.scalars(
        select(ChunkRow)
        .where(
            ChunkRow.document_id == document_id,
            ChunkRow.generation == generation,
            ChunkRow.ordinal > after,
        )
        .order_by(ChunkRow.ordinal)
        .limit(limit)
    ).all()


def of_generation(session: Session, document_id: str, generation: int) -> Sequence[ChunkRow]:
    """All passages of a reading, finished or not, in order."""
    return session.scalars(
        select(ChunkRow)
        .where(ChunkRow.document_id == document_id, ChunkRow.generation == generation)
        .order_by(ChunkRow.ordinal)
    ).all()


def titled(session: Session, document_id: str, generation: int) -> Sequence[tuple[str, str, str]]:
    """The document's title, and section and text of each passage, in order."""
    query = (
        select(DocumentRow.title, ChunkRow.section, ChunkRow.text)
        .join(DocumentRow, DocumentRow.id == ChunkRow.document_id)
        .where(ChunkRow.document_id == document_id, ChunkRow.generation == generation)
        .order_by(ChunkRow.ordinal)
    )
    return [(row[0], row[1], row[2]) for row in session.execute(query)]


def drop(session: Session, document_id: str, but_generation: int) -> None:
    """Forget the passages of every generation but one."""
    session.execute(
        delete(ChunkRow).where(
            ChunkRow.document_id == document_id, ChunkRow.generation != but_generation
        )
    )
