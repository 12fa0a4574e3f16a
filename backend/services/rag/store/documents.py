"""Documents, their extracted text, and pending removals of files and vectors."""

from collections.abc import Collection, Iterator, Mapping, Sequence
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
    tuple_,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from backend.chassis.data_encryption.columns import seal_row
from backend.chassis.data_encryption.data_keys import get_data_keys
from backend.chassis.database.types import UtcDateTime
from backend.services.rag.errors import DuplicateDocument
from backend.services.rag.store import collection_changes
from backend.services.rag.store.base import Base, is_old_generation, new_id, utc_now
from backend.services.rag.store.collections import (
    HIDDEN_OWNER,
    CollectionRow,
    add_hidden_collection,
    is_readable_by,
)

_BATCH_SIZE = 500
# Larger documents and collections are deleted in the background. The deletion of this many rows
# takes about 20 ms. Files are larger than this before their rows are.
_MAX_ROWS_DELETED_AT_ONCE = 250
_MAX_BYTES_DELETED_AT_ONCE = 250_000
DocumentStatus = Literal["queued", "processing", "ready", "failed"]
# A claim without a heartbeat for this long has expired.
CLAIM_TIMEOUT_SECONDS = 20
# Literal SQL, because a database uses a partial index only for a query with literally the same
# condition.
IS_WAITING = text("status IN ('queued', 'processing') AND claim IS NULL")


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
            sqlite_where=IS_WAITING,
            postgresql_where=IS_WAITING,
        ),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True, default=lambda: new_id("doc"))
    tenant_id: Mapped[str] = mapped_column(String(64), index=True)
    collection_id: Mapped[str] = mapped_column(ForeignKey("collections.id"), index=True)
    owner_id: Mapped[str] = mapped_column(String(64))
    filename: Mapped[str] = mapped_column(String(255))
    title: Mapped[str] = mapped_column(String(500))
    # Whether the uploader set the title. A title from the file may change when it is reprocessed.
    title_given: Mapped[bool]
    # Encrypted password of the file, until its text is extracted or extraction fails.
    sealed_password: Mapped[str | None] = mapped_column(Text)
    content_type: Mapped[str] = mapped_column(String(100))
    # ISO 639-1 code, "" if unknown; None until it is detected.
    language: Mapped[str | None] = mapped_column(String(8))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    blob: Mapped[str] = mapped_column(String(64))
    attributes: Mapped[dict[str, Any]] = mapped_column("metadata", JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    # The request that uploaded or requeued the document, and its trace context.
    request_id: Mapped[str | None] = mapped_column(String(128))
    traceparent: Mapped[str | None] = mapped_column(String(55))
    # Ids of documents that are deleted when this one is ready.
    replaces: Mapped[list[str]] = mapped_column(JSON, default=list)
    # Id of the message whose ingestion created this document from an attachment. It is not a
    # foreign key, so that the rows of an export can be imported in any order.
    attachment_of: Mapped[str | None] = mapped_column(String(40), index=True)

    status: Mapped[DocumentStatus] = mapped_column(String(16), default="queued")
    stage: Mapped[str] = mapped_column(String(16), default="queued")
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    # Id of the claim under which a worker processes the document. If the document is requeued or
    # moved, the id changes or becomes None, and the worker has lost its claim.
    claim: Mapped[str | None] = mapped_column(String(40), index=True)
    # Last heartbeat of the worker that holds the claim.
    heartbeat: Mapped[datetime | None] = mapped_column(UtcDateTime)
    not_before: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # Number of chunks of the next generation in the vector index; None until its text is stored.
    indexed: Mapped[int | None]
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_detail: Mapped[str | None] = mapped_column(String(500))
    # (code, detail) of parts that were not read.
    warnings: Mapped[list[tuple[str, str]]] = mapped_column(JSON, default=list)

    # The visible generation of chunks. Reprocessing writes the next generation and then increments
    # this number, so that searches never see a partial generation.
    generation: Mapped[int] = mapped_column(default=0)
    pages: Mapped[int | None]
    chunks: Mapped[int] = mapped_column(default=0)

    collection: Mapped[CollectionRow] = relationship(lazy="joined", innerjoin=True)


class PageRow(Base):
    """A page of the text that chunk positions refer to. A file without pages has one row."""

    __tablename__ = "pages"

    document_id: Mapped[str] = mapped_column(
        ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True
    )
    generation: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    start: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    # Headings on this page as (position in the full text, title).
    headings: Mapped[list[tuple[int, str]] | None] = mapped_column(JSON)
    # Lines of a scanned page as (left, top, right, bottom, text), in fractions of the page.
    lines: Mapped[list[list[Any]] | None] = mapped_column(JSON)
    # Data key with which text, headings and lines are encrypted.
    data_key_id: Mapped[str | None] = mapped_column(String(40))


class RemovalRow(Base):
    """Pending removal of a file or of vectors, which are stored outside the database.

    It is written in the transaction that deletes or replaces the document, so that the file and
    vectors are removed later if the process ends before.
    """

    __tablename__ = "removals"

    id: Mapped[str] = mapped_column(String(40), primary_key=True, default=lambda: new_id("rem"))
    collection_id: Mapped[str] = mapped_column(String(40))
    document_id: Mapped[str | None] = mapped_column(String(40))
    # Vectors of this generation are not removed.
    but_generation: Mapped[int | None]
    blob: Mapped[str | None] = mapped_column(String(64))
    not_before: Mapped[datetime | None] = mapped_column(UtcDateTime)


def _select_visible(tenant_id: str, user_id: str) -> Select[tuple[DocumentRow]]:
    return (
        select(DocumentRow)
        .join(DocumentRow.collection)
        .where(DocumentRow.tenant_id == tenant_id, is_readable_by(tenant_id, user_id))
    )


def get_document(
    session: Session, tenant_id: str, user_id: str, document_id: str
) -> DocumentRow | None:
    """Return the document if the user may read it, else None."""
    return session.scalar(_select_visible(tenant_id, user_id).where(DocumentRow.id == document_id))


def has_document_with_status_other_than(
    session: Session, tenant_id: str, document_ids: Sequence[str], statuses: Sequence[str]
) -> bool:
    """Return True if one of the documents exists and its status is none of *statuses*."""
    others = select(DocumentRow.id).where(
        DocumentRow.id.in_(document_ids),
        DocumentRow.tenant_id == tenant_id,
        DocumentRow.status.not_in(statuses),
    )
    return session.scalar(others.limit(1)) is not None


def list_documents(
    session: Session,
    tenant_id: str,
    user_id: str,
    *,
    collection_ids: Sequence[str] | None = None,
    status: DocumentStatus | None = None,
    text_filter: str | None = None,
    before: str | None = None,
    limit: int,
) -> Sequence[DocumentRow]:
    """Return a page of the documents that the user may read, newest first.

    Args:
        text_filter: case-insensitive substring of the title or file name.
        before: document id; only older documents are returned.
    """
    query = _select_visible(tenant_id, user_id)
    if collection_ids is not None:
        query = query.where(DocumentRow.collection_id.in_(collection_ids))
    if status is not None:
        query = query.where(DocumentRow.status == status)
    if text_filter is not None:
        query = query.where(
            or_(
                DocumentRow.title.icontains(text_filter, autoescape=True),
                DocumentRow.filename.icontains(text_filter, autoescape=True),
            )
        )
    if before is not None:
        query = query.where(DocumentRow.id < before)
    return session.scalars(query.order_by(DocumentRow.id.desc()).limit(limit)).all()


def get_document_by_hash(session: Session, collection_id: str, sha256: str) -> DocumentRow:
    """Return the document of the collection with this digest. Raises NoResultFound."""
    query = select(DocumentRow).where(
        DocumentRow.collection_id == collection_id, DocumentRow.sha256 == sha256
    )
    return session.scalars(query).one()


def add_document(session: Session, row: DocumentRow) -> bool:
    """Insert *row*. Return False if the collection already has a document with its digest."""
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        return False
    return True


def move_document(session: Session, row: DocumentRow, collection: CollectionRow) -> None:
    """Move *row* to *collection*. Raises DuplicateDocument."""
    try:
        with session.begin_nested():
            row.collection = collection
    except IntegrityError as error:
        raise DuplicateDocument from error


def list_attributes(
    session: Session, collection_id: str, document_ids: Sequence[str] | None = None
) -> list[tuple[str, str, str, Mapping[str, Any]]]:
    """Return id, file name, content type and metadata of the documents in a collection.

    Args:
        document_ids: restricts the result to these documents.
    """
    query = select(
        DocumentRow.id, DocumentRow.filename, DocumentRow.content_type, DocumentRow.attributes
    ).where(DocumentRow.collection_id == collection_id)
    queries = [query] if document_ids is None else map(query.where, id_conditions(document_ids))
    return [(row[0], row[1], row[2], row[3]) for batch in queries for row in session.execute(batch)]


def get_languages(session: Session, document_ids: Collection[str]) -> dict[str, str]:
    """Return the detected languages of the documents by id, without unknown ones."""
    query = select(DocumentRow.id, DocumentRow.language).where(
        DocumentRow.id.in_(document_ids), DocumentRow.language != ""
    )
    return {row[0]: row[1] for row in session.execute(query) if row[1]}


def id_conditions(document_ids: Sequence[str]) -> Iterator[ColumnElement[bool]]:
    """Yield conditions that select *document_ids* in batches small enough for one statement."""
    for start in range(0, len(document_ids), _BATCH_SIZE):
        yield DocumentRow.id.in_(document_ids[start : start + _BATCH_SIZE])


def count_queued(session: Session) -> int:
    query = select(func.count()).where(DocumentRow.status == "queued")
    return session.scalar(query.select_from(DocumentRow)) or 0


def delete_document(session: Session, row: DocumentRow) -> None:
    """Delete *row* with its text and chunks, and schedule the removal of its file and vectors.

    A long document is only hidden: the deletion of its rows would keep other writers waiting. The
    scheduled removal deletes them in short transactions.
    """
    session.add(RemovalRow(collection_id=row.collection_id, document_id=row.id, blob=row.blob))
    schedule_late_cleanup(session, row)
    collection_changes.record_change(session, row.collection_id, row.id)
    # Rows of a generation that is being indexed are not counted yet; the size of the file is known.
    if _is_large(row.chunks + (row.pages or 0), row.size_bytes):
        hidden = add_hidden_collection(session, row.tenant_id)
        row.collection, row.attachment_of = hidden, None
        delete_hidden_collection_later(session, hidden.id)
        return
    delete_row(session, row.id)


def delete_row(session: Session, document_id: str) -> None:
    """Delete the row of the document and all rows that refer to it."""
    # Use a statement, not session.delete(): the database's cascade deletes pages and chunks without
    # loading them.
    session.execute(delete(DocumentRow).where(DocumentRow.id == document_id))


def delete_hidden_collection_later(session: Session, collection_id: str) -> None:
    """Withdraw the documents of a hidden collection from ingestion, and schedule their deletion."""
    session.add(RemovalRow(collection_id=collection_id))
    session.flush()
    session.execute(
        update(DocumentRow)
        .where(DocumentRow.collection_id == collection_id)
        .values(status="failed", stage="failed", claim=None)
        .execution_options(synchronize_session="fetch")
    )


def is_large_collection(session: Session, collection_id: str) -> bool:
    """Return whether the deletion of its documents would keep other writers waiting."""
    rows = 1 + DocumentRow.chunks + func.coalesce(DocumentRow.pages, 0)
    sums = (func.coalesce(func.sum(value), 0) for value in (rows, DocumentRow.size_bytes))
    query = select(*sums).where(DocumentRow.collection_id == collection_id)
    row_count, size_bytes = session.execute(query).one()
    return _is_large(row_count, size_bytes)


def _is_large(rows: int, size_bytes: int) -> bool:
    return rows > _MAX_ROWS_DELETED_AT_ONCE or size_bytes > _MAX_BYTES_DELETED_AT_ONCE


def count_documents_in_collection(session: Session, collection_id: str) -> int:
    query = select(func.count()).where(DocumentRow.collection_id == collection_id)
    return session.scalar(query) or 0


def find_document_in_hidden_collection(
    session: Session, collection_id: str
) -> tuple[str, str] | None:
    """Return id and file of one of the documents of the collection if it is hidden."""
    row = session.execute(
        select(DocumentRow.id, DocumentRow.blob)
        .join(DocumentRow.collection)
        .where(DocumentRow.collection_id == collection_id, CollectionRow.owner_id == HIDDEN_OWNER)
        .limit(1)
    ).first()
    return None if row is None else (row[0], row[1])


def schedule_late_cleanup(session: Session, row: DocumentRow) -> None:
    """Schedule a second removal of vectors if a worker holds the claim.

    The worker may still add vectors until it notices that it lost its claim.
    """
    if row.claim is not None:
        later = utc_now() + timedelta(seconds=CLAIM_TIMEOUT_SECONDS)
        removal = RemovalRow(collection_id=row.collection_id, document_id=row.id, not_before=later)
        session.add(removal)


def schedule_old_vector_cleanup(session: Session, row: DocumentRow) -> None:
    """Schedule the removal of the vectors of earlier generations."""
    removal = RemovalRow(
        collection_id=row.collection_id, document_id=row.id, but_generation=row.generation
    )
    session.add(removal)


def list_documents_with_same_filename(session: Session, row: DocumentRow) -> Sequence[DocumentRow]:
    """Return the other uploads in the collection of *row* with its file name.

    Attachments are not included: they belong to their message.
    """
    query = select(DocumentRow).where(
        DocumentRow.collection_id == row.collection_id,
        DocumentRow.attachment_of.is_(None),
        DocumentRow.filename == row.filename,
        DocumentRow.id != row.id,
    )
    return session.scalars(query.order_by(DocumentRow.id)).all()


def list_replaced_documents(session: Session, row: DocumentRow) -> Sequence[DocumentRow]:
    """Return the documents that *row* replaces and that are still in its collection."""
    query = select(DocumentRow).where(
        DocumentRow.id.in_(row.replaces), DocumentRow.collection_id == row.collection_id
    )
    return session.scalars(query).all() if row.replaces else []


def list_documents_in_collection(session: Session, collection_id: str) -> Sequence[DocumentRow]:
    query = select(DocumentRow).where(DocumentRow.collection_id == collection_id)
    return session.scalars(query).all()


# Queries of ingestion.


def add_pages(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert *rows*, each with the columns of PageRow."""
    session.execute(insert(PageRow), seal_rows(session, PageRow, rows))


def seal_rows(
    session: Session, model: type[Base], rows: Sequence[Mapping[str, Any]]
) -> Sequence[Mapping[str, Any]]:
    """Return *rows* of *model* with `document_id`, encrypted if encryption is on."""
    if get_data_keys(session) is None:
        return rows
    ids = {row["document_id"] for row in rows}
    query = select(DocumentRow.id, DocumentRow.tenant_id).where(DocumentRow.id.in_(ids))
    tenants = dict(session.execute(query).tuples().all())
    return [seal_row(session, model, tenants[row["document_id"]], row) for row in rows]


def copy_pages(
    session: Session,
    document_id: str,
    from_generation: int,
    to_generation: int,
    numbers: tuple[int, int],
) -> None:
    """Copy the text of the pages *numbers* (first, last) to *to_generation*."""
    pages = select(
        PageRow.document_id,
        literal(to_generation),
        PageRow.number,
        PageRow.start,
        PageRow.text,
        PageRow.headings,
        PageRow.lines,
        PageRow.data_key_id,
    ).where(
        PageRow.document_id == document_id,
        PageRow.generation == from_generation,
        PageRow.number.between(*numbers),
    )
    columns = [
        *("document_id", "generation", "number", "start", "text", "headings", "lines"),
        "data_key_id",
    ]
    session.execute(insert(PageRow).from_select(columns, pages))


def delete_old_pages(
    session: Session, document_id: str, keep_generation: int, limit: int, *, keep_newer: bool
) -> int:
    """Delete up to *limit* pages of other generations than *keep_generation*.

    Args:
        keep_newer: keep the pages of later generations too.

    Returns:
        The number of deleted pages.
    """
    is_old = is_old_generation(PageRow.generation, keep_generation, keep_newer=keep_newer)
    query = select(PageRow.generation, PageRow.number).where(
        PageRow.document_id == document_id, is_old
    )
    keys = session.execute(query.limit(limit)).all()
    session.execute(
        delete(PageRow).where(
            PageRow.document_id == document_id,
            tuple_(PageRow.generation, PageRow.number).in_([tuple(key) for key in keys]),
        )
    )
    return len(keys)


def list_blobs(session: Session) -> set[str]:
    """Return the names of the blobs of all documents and pending removals."""
    pending = select(RemovalRow.blob).where(RemovalRow.blob.is_not(None))
    return {
        *session.scalars(select(DocumentRow.blob)),
        *(blob for blob in session.scalars(pending) if blob),
    }


# Queries of the text of a document.


def list_pages(
    session: Session, document_id: str, generation: int, start: int = 0, end: int | None = None
) -> Sequence[PageRow]:
    """Return the pages that contain text between the positions *start* and *end*."""
    query = (
        select(PageRow)
        .where(PageRow.document_id == document_id, PageRow.generation == generation)
        .order_by(PageRow.number)
    )
    if start > 0:
        first = get_page_number(session, document_id, generation, start)
        query = query.where(PageRow.number >= (first or 0))
    if end is not None:
        query = query.where(PageRow.start < end)
    return session.scalars(query).all()


def get_page(session: Session, document_id: str, generation: int, number: int) -> PageRow | None:
    return session.get(PageRow, (document_id, generation, number))


def get_page_number(
    session: Session, document_id: str, generation: int, position: int
) -> int | None:
    """Return the number of the page that contains *position* of the full text."""
    return session.scalar(
        select(func.max(PageRow.number)).where(
            PageRow.document_id == document_id,
            PageRow.generation == generation,
            PageRow.start <= position,
        )
    )


# Queries of commands for operators.


def list_indexed_documents(
    session: Session, collection_ids: Sequence[str] | None
) -> Sequence[DocumentRow]:
    """Return the documents with visible chunks, in *collection_ids* or in all collections."""
    query = select(DocumentRow).where(DocumentRow.generation > 0)
    if collection_ids is not None:
        query = query.where(DocumentRow.collection_id.in_(collection_ids))
    return session.scalars(query.order_by(DocumentRow.id)).all()


def count_unprocessed(session: Session) -> int:
    query = select(func.count()).where(DocumentRow.status.in_(("queued", "processing")))
    return session.scalar(query.select_from(DocumentRow)) or 0


def list_document_ids(session: Session) -> Sequence[str]:
    return session.scalars(select(DocumentRow.id).order_by(DocumentRow.id)).all()


def document_exists(session: Session, document_id: str, collection_id: str, sha256: str) -> bool:
    """Check for a document with this id, or with this digest in the collection."""
    same_digest = and_(DocumentRow.collection_id == collection_id, DocumentRow.sha256 == sha256)
    query = select(DocumentRow.id).where(or_(DocumentRow.id == document_id, same_digest))
    return session.scalar(query.limit(1)) is not None
