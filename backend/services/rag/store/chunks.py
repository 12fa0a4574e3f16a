"""Chunks of documents. These rows determine which chunks are visible; indexes contain only ids."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    JSON,
    ForeignKey,
    Index,
    Row,
    String,
    Text,
    bindparam,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.data_encryption.columns import open_row
from backend.chassis.database.statements import CompiledStatement, split_list
from backend.chassis.encryption import DamagedValue
from backend.services.rag.store.base import Base, is_old_generation
from backend.services.rag.store.collections import CollectionRow, is_readable_by
from backend.services.rag.store.documents import DocumentRow, seal_rows

_log = logging.getLogger(__name__)


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
    section: Mapped[str] = mapped_column(Text)
    headings: Mapped[list[str]] = mapped_column(JSON, default=list)
    table_header: Mapped[str] = mapped_column(Text, default="")
    text: Mapped[str] = mapped_column(Text)
    # Data key with which section, headings, table header and text are encrypted.
    data_key_id: Mapped[str | None] = mapped_column(String(40))


class VisibleChunk(NamedTuple):
    """A chunk with the properties of its document that search results contain."""

    chunk_id: str
    document_id: str
    generation: int
    section: str
    headings: Sequence[str]
    table_header: str
    page: int | None
    start: int
    end: int
    text: str
    filename: str
    title: str
    collection_id: str


def build_chunk_id(document_id: str, generation: int, ordinal: int) -> str:
    """Return the id of a chunk.

    It contains document, generation and ordinal, so that indexes need not store them.
    """
    return f"chk_{document_id.partition('_')[2]}.{generation}.{ordinal}"


def get_document_id(chunk_id: str) -> str:
    """Return the id of the chunk's document."""
    return f"doc_{chunk_id.removeprefix('chk_').split('.')[0]}"


def parse_chunk_id(chunk_id: str) -> tuple[str, int, int]:
    """Return document, generation and ordinal of a chunk, the arguments of `build_chunk_id`."""
    document, generation, ordinal = chunk_id.removeprefix("chk_").split(".")
    return f"doc_{document}", int(generation), int(ordinal)


def get_visible_chunks(
    session: Session, tenant_id: str, user_id: str, chunk_ids: Sequence[str]
) -> dict[str, VisibleChunk]:
    """Return those of *chunk_ids* that are current and that the user may read, by id.

    Chunks that were encrypted and are damaged are left out.
    """
    chunks: dict[str, VisibleChunk] = {}
    for row in _execute_visible_chunks(session, tenant_id, user_id, chunk_ids):
        *columns, data_key_id = row
        if data_key_id is not None:
            try:
                opened = open_row(session, ChunkRow, row._asdict())
            except DamagedValue as error:
                _log.error("a chunk is damaged", extra={"context": str(error)})
                continue
            columns = [opened[name] for name in _VISIBLE_NAMES]
        chunks[row[0]] = VisibleChunk(*columns)
    return chunks


# Columns of the query of visible chunks, in the order of the fields of VisibleChunk.
_VISIBLE_NAMES: Final = (
    *("id", "document_id", "generation", "section", "headings", "table_header", "page", "start"),
    *("end", "text", "filename", "title", "collection_id"),
)


def _execute_visible_chunks(
    session: Session, tenant_id: str, user_id: str, chunk_ids: Sequence[str]
) -> Iterator[Row[Any]]:
    for part in split_list(chunk_ids):
        values = {f"id_{index}": chunk_id for index, chunk_id in enumerate(part)}
        statement = _build_visible_chunks(len(part))
        yield from statement.execute(session, values | {"tenant_id": tenant_id, "user_id": user_id})


# Compiled, because each search executes it.
@cache
def _build_visible_chunks(count: int) -> CompiledStatement:
    """Return the query for *count* chunks, with the parameters id_0, id_1, …"""
    return CompiledStatement(
        select(
            ChunkRow.id,
            ChunkRow.document_id,
            ChunkRow.generation,
            ChunkRow.section,
            ChunkRow.headings,
            ChunkRow.table_header,
            ChunkRow.page,
            ChunkRow.start,
            ChunkRow.end,
            ChunkRow.text,
            DocumentRow.filename,
            DocumentRow.title,
            DocumentRow.collection_id,
            ChunkRow.data_key_id,
        )
        .join(DocumentRow, DocumentRow.id == ChunkRow.document_id)
        .join(CollectionRow, CollectionRow.id == DocumentRow.collection_id)
        .where(
            # There is no condition on the document's tenant: SQLite would use the index on it and
            # scan all documents of the tenant.
            ChunkRow.id.in_([bindparam(f"id_{index}", type_=String) for index in range(count)]),
            ChunkRow.generation == DocumentRow.generation,
            is_readable_by(
                bindparam("tenant_id", type_=String), bindparam("user_id", type_=String)
            ),
        )
    )


def list_chunks(
    session: Session, document_id: str, generation: int, after_ordinal: int, limit: int
) -> Sequence[ChunkRow]:
    """Return a page of the chunks of a generation in order, after *after_ordinal*."""
    return session.scalars(
        select(ChunkRow)
        .where(
            ChunkRow.document_id == document_id,
            ChunkRow.generation == generation,
            ChunkRow.ordinal > after_ordinal,
        )
        .order_by(ChunkRow.ordinal)
        .limit(limit)
    ).all()


def count_chunks(session: Session, document_id: str, generation: int) -> int:
    """Return the number of chunks of a generation, which need not be visible yet."""
    query = select(func.count()).where(
        ChunkRow.document_id == document_id, ChunkRow.generation == generation
    )
    return session.scalar(query.select_from(ChunkRow)) or 0


def add_chunks(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert *rows*, each with the columns of ChunkRow."""
    session.execute(insert(ChunkRow), seal_rows(session, ChunkRow, rows))


def list_titled_chunks(
    session: Session, document_id: str, generation: int
) -> Sequence[tuple[str, str, str, str]]:
    """Return document title, section, text and table header of the chunks of a generation."""
    query = (
        select(
            *(ChunkRow.id, ChunkRow.section, ChunkRow.text, ChunkRow.table_header),
            *(ChunkRow.data_key_id, DocumentRow.title),
        )
        .join(DocumentRow, DocumentRow.id == ChunkRow.document_id)
        .where(ChunkRow.document_id == document_id, ChunkRow.generation == generation)
        .order_by(ChunkRow.ordinal)
    )
    rows = (open_row(session, ChunkRow, row._asdict()) for row in session.execute(query))
    return [(row["title"], row["section"], row["text"], row["table_header"]) for row in rows]


def delete_old_chunks(
    session: Session, document_id: str, keep_generation: int, limit: int, *, keep_newer: bool
) -> int:
    """Delete up to *limit* chunks of other generations than *keep_generation*.

    Args:
        keep_newer: keep the chunks of later generations too.

    Returns:
        The number of deleted chunks.
    """
    is_old = is_old_generation(ChunkRow.generation, keep_generation, keep_newer=keep_newer)
    query = select(ChunkRow.id).where(ChunkRow.document_id == document_id, is_old).limit(limit)
    ids = session.scalars(query).all()
    session.execute(delete(ChunkRow).where(ChunkRow.id.in_(ids)))
    return len(ids)
