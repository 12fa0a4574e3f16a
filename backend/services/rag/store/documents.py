"""Documents and their extracted text."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    ForeignKey,
    Index,
    Select,
    String,
    Text,
    UniqueConstraint,
    and_,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    text,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from backend.chassis.database.sessions import UtcDateTime
from backend.services.rag.errors import AlreadyThere
from backend.services.rag.store import changes
from backend.services.rag.store.base import Base, new_id, utc_now
from backend.services.rag.store.collections import CollectionRow, readable_by

_AT_ONCE = 500
Status = Literal["queued", "processing", "ready", "failed"]
# Whoever gives no sign of life for so long is taken for dead.
LAPSE_SECONDS = 20
# Words of SQL, since an index over some of the rows is used where a query has the same words.
WAITING = text("status IN ('queued', 'processing') AND claim IS NULL")


class DocumentRow(Base):
    __tablename__ = "documents"
    __table_args__ = (
        UniqueConstraint("collection_id", "sha256"),
        Index("ix_documents_status", "status", "id"),
        Index("ix_documents_turn", "tenant_id", "heartbeat"),
        Index(
            "ix_documents_waiting",
            "tenant_id",
            "id",
            "not_before",
            sqlite_where=WAITING,
            postgresql_where=WAITING,
        ),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True, default=lambda: new_id("doc"))
    tenant_id: Mapped[str] = mapped_column(String(64), index=True)
    collection_id: Mapped[str] = mapped_column(ForeignKey("collections.id"), index=True)
    owner_id: Mapped[str] = mapped_column(String(64))
    filename: Mapped[str] = mapped_column(String(255))
    title: Mapped[str] = mapped_column(String(500))
    # What the uploader wrote stays; what we found in the file may change with the next reading.
    title_given: Mapped[bool]
    # What opens the file, until its text is kept or cannot be had.
    sealed_password: Mapped[str | None] = mapped_column(Text)
    content_type: Mapped[str] = mapped_column(String(100))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    blob: Mapped[str] = mapped_column(String(64))
    attributes: Mapped[dict[str, Any]] = mapped_column("metadata", JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    # The request that brought it or wants it read anew, and its place in a trace.
    request_id: Mapped[str | None] = mapped_column(String(128))
    traceparent: Mapped[str | None] = mapped_column(String(55))
    # Documents that go when this one is ready.
    replaces: Mapped[list[str]] = mapped_column(JSON, default=list)

    status: Mapped[Status] = mapped_column(String(16), default="queued")
    stage: Mapped[str] = mapped_column(String(16), default="queued")
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    # Who reads it now. One that was put back, moved or deleted meanwhile has no claim or another.
    claim: Mapped[str | None] = mapped_column(String(40), index=True)
    # When its reader last gave a sign of life.
    heartbeat: Mapped[datetime | None] = mapped_column(UtcDateTime)
    not_before: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # How many passages of the next generation are in the vector index; None until its text
    # is kept.
    indexed: Mapped[int | None]
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_detail: Mapped[str | None] = mapped_column(String(500))

    # The passages of this generation are the ones shown. A new reading fills the next
    # generation beside it and then moves this number, so readers never see half of one.
    generation: Mapped[int] = mapped_column(default=0)
    pages: Mapped[int | None]
    chunks: Mapped[int] = mapped_column(default=0)

    collection: Mapped[CollectionRow] = relationship(lazy="joined", innerjoin=True)


class PageRow(Base):
    """One page of the text that passages point into; a file without pages has one."""

    __tablename__ = "pages"

    document_id: Mapped[str] = mapped_column(
        ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True
    )
    generation: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    start: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    # Those on this page, as pairs of a position in the whole text and a title.
    headings: Mapped[list[tuple[int, str]] | None] = mapped_column(JSON)


class RemovalRow(Base):
    """What a delete or a newer reading leaves to clear away outside these tables.

    Written in the transaction of the delete, so that nothing is forgotten if the process
    ends before it was cleared.
    """

    __tablename__ = "removals"

    id: Mapped[str] = mapped_column(String(40), primary_key=True, default=lambda: new_id("rem"))
    collection_id: Mapped[str] = mapped_column(String(40))
    document_id: Mapped[str | None] = mapped_column(String(40))
    # Vectors of this generation stay.
    but_generation: Mapped[int | None]
    blob: Mapped[str | None] = mapped_column(String(64))
    not_before: Mapped[datetime | None] = mapped_column(UtcDateTime)


def _visible(tenant_id: str, user_id: str) -> Select[tuple[DocumentRow]]:
    return (
        select(DocumentRow)
        .join(DocumentRow.collection)
        .where(DocumentRow.tenant_id == tenant_id, readable_by(tenant_id, user_id))
    )


def find(session: Session, tenant_id: str, user_id: str, document_id: str) -> DocumentRow | None:
    """The document, where the user may read it."""
    return session.scalar(_visible(tenant_id, user_id).where(DocumentRow.id == document_id))


def page(
    session: Session,
    tenant_id: str,
    user_id: str,
    *,
    collections: Sequence[str] | None = None,
    status: Status | None = None,
    containing: str | None = None,
    before: str | None = None,
    limit: int,
) -> Sequence[DocumentRow]:
    """The newest first, of those the user may read."""
    query = _visible(tenant_id, user_id)
    if collections is not None:
        query = query.where(DocumentRow.collection_id.in_(collections))
    if status is not None:
        query = query.where(DocumentRow.status == status)
    if containing is not None:
        query = query.where(
            or_(
                DocumentRow.title.icontains(containing, autoescape=True),
                DocumentRow.filename.icontains(containing, autoescape=True),
            )
        )
    if before is not None:
        query = query.where(DocumentRow.id < before)
    return session.scalars(query.order_by(DocumentRow.id.desc()).limit(limit)).all()


def with_bytes(session: Session, collection_id: str, sha256: str) -> DocumentRow:
    """The document of the collection that has these bytes; there must be one."""
    query = select(DocumentRow).where(
        DocumentRow.collection_id == collection_id, DocumentRow.sha256 == sha256
    )
    return session.scalars(query).one()


def add(session: Session, row: DocumentRow) -> bool:
    """Add *row*; False where the collection holds these bytes already."""
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        return False
    return True


def move(session: Session, row: DocumentRow, shelf: CollectionRow) -> None:
    """Put *row* onto *shelf*, or raise AlreadyThere."""
    try:
        with session.begin_nested():
            row.collection = shelf
    except IntegrityError as error:
        raise AlreadyThere from error


def attributes_in(
    session: Session, collection_id: str, documents: Sequence[str] | None = None
) -> list[tuple[str, str, str, Mapping[str, Any]]]:
    """Id, file name, content type and metadata of what stands there, or of *documents* alone."""
    query = select(
        DocumentRow.id, DocumentRow.filename, DocumentRow.content_type, DocumentRow.attributes
    ).where(DocumentRow.collection_id == collection_id)
    parts = [query] if documents is None else map(query.where, any_of(documents))
    return [(row[0], row[1], row[2], row[3]) for part in parts for row in session.execute(part)]


def any_of(documents: Sequence[str]) -> Iterator[ColumnElement[bool]]:
    """Conditions that name all of *documents*, each few enough for one statement."""
    for start in range(0, len(documents), _AT_ONCE):
        yield DocumentRow.id.in_(documents[start : start + _AT_ONCE])


def count_waiting(session: Session) -> int:
    query = select(func.count()).where(DocumentRow.status == "queued")
    return session.scalar(query.select_from(DocumentRow)) or 0


def remove(session: Session, row: DocumentRow) -> None:
    """Delete *row* with its text and passages, and note what is left to clear away."""
    session.add(RemovalRow(collection_id=row.collection_id, document_id=row.id, blob=row.blob))
    forget_again_later(session, row)
    changes.note(session, row.collection_id, row.id)
    # By statement: the database's own cascade takes the passages along, unread.
    session.execute(delete(DocumentRow).where(DocumentRow.id == row.id))


def forget_again_later(session: Session, row: DocumentRow) -> None:
    """Have what its reader may add until it learns of the removal cleared away as well."""
    if row.claim is not None:
        later = utc_now() + timedelta(seconds=LAPSE_SECONDS)
        removal = RemovalRow(collection_id=row.collection_id, document_id=row.id, not_before=later)
        session.add(removal)


def forget_earlier(session: Session, row: DocumentRow) -> None:
    """Have the vectors of earlier generations cleared away."""
    removal = RemovalRow(
        collection_id=row.collection_id, document_id=row.id, but_generation=row.generation
    )
    session.add(removal)


def namesakes(session: Session, row: DocumentRow) -> Sequence[DocumentRow]:
    """The other documents of its file name in its collection."""
    query = select(DocumentRow).where(
        DocumentRow.collection_id == row.collection_id,
        DocumentRow.filename == row.filename,
        DocumentRow.id != row.id,
    )
    return session.scalars(query.order_by(DocumentRow.id)).all()


def replaced_by(session: Session, row: DocumentRow) -> Sequence[DocumentRow]:
    """What *row* was uploaded to replace, as far as it still stands beside it."""
    query = select(DocumentRow).where(
        DocumentRow.id.in_(row.replaces), DocumentRow.collection_id == row.collection_id
    )
    return session.scalars(query).all() if row.replaces else []


def in_collection(session: Session, collection_id: str) -> Sequence[DocumentRow]:
    query = select(DocumentRow).where(DocumentRow.collection_id == collection_id)
    return session.scalars(query).all()


# What reading asks.


def copy_pages(session: Session, document_id: str, source: int, target: int) -> None:
    """Have the text of generation *source* as generation *target* too."""
    kept = select(
        PageRow.document_id,
        literal(target),
        PageRow.number,
        PageRow.start,
        PageRow.text,
        PageRow.headings,
    ).where(PageRow.document_id == document_id, PageRow.generation == source)
    columns = ["document_id", "generation", "number", "start", "text", "headings"]
    session.execute(insert(PageRow).from_select(columns, kept))


def drop_pages(session: Session, document_id: str, but_generation: int) -> None:
    """Forget the text of every generation but one."""
    session.execute(
        delete(PageRow).where(
            PageRow.document_id == document_id, PageRow.generation != but_generation
        )
    )


def blobs(session: Session) -> set[str]:
    """The names of all bytes that belong to a document or wait to be cleared away."""
    waiting = select(RemovalRow.blob).where(RemovalRow.blob.is_not(None))
    return {
        *session.scalars(select(DocumentRow.blob)),
        *(blob for blob in session.scalars(waiting) if blob),
    }


# What its readers ask of its text.


def text_pages(session: Session, document_id: str, generation: int) -> Sequence[PageRow]:
    return session.scalars(
        select(PageRow)
        .where(PageRow.document_id == document_id, PageRow.generation == generation)
        .order_by(PageRow.number)
    ).all()


def page_at(session: Session, document_id: str, generation: int, position: int) -> int | None:
    """The page on which the character at *position* stands."""
    return session.scalar(
        select(func.max(PageRow.number)).where(
            PageRow.document_id == document_id,
            PageRow.generation == generation,
            PageRow.start <= position,
        )
    )


# What the operator asks.


def indexed_in(session: Session, collections: Sequence[str] | None) -> Sequence[DocumentRow]:
    """Documents that have passages to show, of *collections* or of all."""
    query = select(DocumentRow).where(DocumentRow.generation > 0)
    if collections is not None:
        query = query.where(DocumentRow.collection_id.in_(collections))
    return session.scalars(query.order_by(DocumentRow.id)).all()


def count_unread(session: Session) -> int:
    query = select(func.count()).where(DocumentRow.status.in_(("queued", "processing")))
    return session.scalar(query.select_from(DocumentRow)) or 0


def all_ids(session: Session) -> Sequence[str]:
    return session.scalars(select(DocumentRow.id).order_by(DocumentRow.id)).all()


def is_there(session: Session, document_id: str, collection_id: str, sha256: str) -> bool:
    """Whether there is this document, or another with its bytes in the collection."""
    same_bytes = and_(DocumentRow.collection_id == collection_id, DocumentRow.sha256 == sha256)
    query = select(DocumentRow.id).where(or_(DocumentRow.id == document_id, same_bytes))
    return session.scalar(query.limit(1)) is not None
