"""Documents: upload, list, read, change, reindex and delete."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Any

from backend.chassis.database.sessions import Database, Session, acquire_transaction_lock
from backend.chassis.encryption import Encryptor
from backend.chassis.messaging.audit_outbox import AuditOutbox
from backend.chassis.observability.tracing import attach_span_context
from backend.chassis.web.paging import paginate
from backend.services.rag.domain.access import (
    ensure_writable,
    get_or_create_writable_collection,
    get_readable_collection,
)
from backend.services.rag.domain.attachments import (
    delete_with_attachments,
    move_document,
    rename_attachments,
)
from backend.services.rag.domain.blob_storage import BlobStorage, OriginalFile
from backend.services.rag.domain.uploads import FileReceiver, Upload, accepts_password
from backend.services.rag.errors import DocumentNotFound, IngestionQueueFull
from backend.services.rag.model import Viewer
from backend.services.rag.store import attachments as attachment_store
from backend.services.rag.store import chunks as chunk_store
from backend.services.rag.store import collection_changes, ingestion_queue
from backend.services.rag.store import documents as store
from backend.services.rag.store.collections import CollectionRow
from backend.services.rag.store.documents import DocumentRow, DocumentStatus, PageRow

FINAL_STATUSES = ("ready", "failed")
# A wait is prolonged by up to a tenth, and by at most this time.
_MIN_POLL_SECONDS, _MAX_POLL_SECONDS = 0.01, 0.1


@dataclass(frozen=True, slots=True)
class Attachment:
    """An attachment of a message.

    Attributes:
        content_type: detected from the content if it was read, else as declared by the sender.
        document_id: id of the document that contains its text, or None if no such document exists.
        error: code and detail of the reason why it was not read.
    """

    filename: str
    content_type: str
    size_bytes: int
    document_id: str | None
    error: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it is shown to viewers.

    Attributes:
        pages: number of pages, or None for types without pages.
        stage: current ingestion stage; *done* of *total* is the progress within it.
        error: error code and detail of a failed document.
        warnings: code and detail of parts that were not read.
        replaces: ids of documents that are deleted when this one is ready.
        attachment_of: id of the message that this document is an attachment of.
        attachments: attachments of this message.
    """

    id: str
    filename: str
    title: str
    collection: str
    content_type: str
    size_bytes: int
    sha256: str
    pages: int | None
    chunks: int
    status: DocumentStatus
    stage: str
    done: int
    total: int
    error: tuple[str, str] | None
    owner_id: str
    created_at: datetime
    metadata: Mapping[str, Any]
    replaces: Sequence[str]
    attachment_of: str | None
    attachments: Sequence[Attachment]
    warnings: Sequence[tuple[str, str]]

    @property
    def is_processed(self) -> bool:
        return self.status in FINAL_STATUSES


@dataclass(frozen=True, slots=True)
class DocumentChunk:
    """A chunk of a document: the characters from *start* to *end* of its text.

    *section*, *headings* and *table_header* are those of `SearchHit`.
    """

    id: str
    ordinal: int
    page: int | None
    start: int
    end: int
    section: str
    headings: Sequence[str]
    table_header: str
    text: str


@dataclass(frozen=True, slots=True)
class TextPage:
    """A page of the extracted text.

    Offsets of chunks and quotes count from the start of the first page.
    """

    number: int
    start: int
    text: str
    lines: Sequence[Sequence[Any]] = ()
    """Lines of a scanned page, as in `extraction.content.RecognizedLine`."""


class DocumentService:
    """Operations that a viewer can perform on documents.

    Methods raise DocumentNotFound if the viewer cannot read the document, and CollectionReadOnly
    if a change is not allowed.
    """

    def __init__(
        self,
        database: Database,
        blob_storage: BlobStorage,
        wake: Callable[[], None],
        encryptor: Encryptor,
        audit: AuditOutbox,
        *,
        max_queued_documents: int,
    ) -> None:
        """Create the service.

        Args:
            wake: notifies the ingestion workers.
            encryptor: protects document passwords.
            audit: records deletions.
        """
        self._database = database
        self._all_tenants = database.across_tenants()
        self._blob_storage = blob_storage
        self._wake = wake
        self._encryptor = encryptor
        self._audit = audit
        self._max_queued_documents = max_queued_documents

    def add_documents(
        self,
        viewer: Viewer,
        receiver: FileReceiver,
        uploads: Sequence[Upload],
        *,
        collection: str | None,
        title: str | None,
        metadata: Mapping[str, Any],
        replace: bool = False,
        password: str | None = None,
    ) -> tuple[list[Document], bool]:
        """Add a document for each of *uploads* and queue it for ingestion.

        All files and rows are stored durably before this returns: ingestion takes place even if
        the process is killed.

        Args:
            collection: name or id; created if it does not exist.
            replace: each document replaces those with the same file name when it is ready.
            password: opens encrypted files. It is stored encrypted until they are processed.

        Returns:
            The documents, and whether any of them is new. A file whose content is already in the
            collection returns the existing document.

        Raises:
            IngestionQueueFull: too many documents are queued.
        """
        documents, new_blobs = [], []
        # The queue is shared by all tenants. The viewer's own session cannot see their rows.
        with self._all_tenants.read() as session:
            if store.count_queued(session) + len(uploads) > self._max_queued_documents:
                raise IngestionQueueFull
        receiver.sync_folder()
        with self._database.write(viewer.tenant_id) as session:
            target = get_or_create_writable_collection(session, viewer, collection)
            if replace:
                acquire_transaction_lock(session, f"names in {target.id}")
            for upload in uploads:
                # The unique index detects duplicates: concurrent requests can send the same bytes.
                row = _build_row(viewer, upload, target, title, metadata)
                if store.add_document(session, row):
                    new_blobs.append(upload.blob)
                else:
                    row = store.get_document_by_hash(session, target.id, upload.sha256)
                    if row.attachment_of is not None:
                        _make_independent(row, upload, title)
                    elif row.status == "failed":
                        ingestion_queue.requeue_document(row)
                if password is not None and row.status == "queued" and accepts_password(upload):
                    row.sealed_password = self._encryptor.encrypt_text(password)
                if replace and row.filename == upload.filename:
                    self._replace_same_filename(session, viewer, row)
                documents.append(_to_document(session, row))
        for blob in new_blobs:
            receiver.keep_file(blob)
        # Once per document, so that several workers are notified.
        for _ in documents:
            self._wake()
        return documents, bool(new_blobs)

    def list_documents(
        self,
        viewer: Viewer,
        *,
        collection: str | None,
        status: DocumentStatus | None,
        text_filter: str | None,
        before: str | None,
        limit: int,
    ) -> tuple[list[Document], str | None]:
        """Return a page of documents, newest first, and the next cursor.

        Args:
            text_filter: text that the title or file name must contain.
            before: id of the last document of the previous page.
        """
        with self._database.read(viewer.tenant_id) as session:
            collection_ids = (
                None
                if collection is None
                else [get_readable_collection(session, viewer, collection).id]
            )
            rows = store.list_documents(
                session,
                viewer.tenant_id,
                viewer.user_id,
                collection_ids=collection_ids,
                status=status,
                text_filter=text_filter,
                before=before,
                limit=limit + 1,
            )
            page, cursor = paginate(rows, limit, lambda row: (row.id,))
            return _to_documents(session, page), cursor

    def get_document(self, viewer: Viewer, document_id: str) -> Document:
        with self._database.read(viewer.tenant_id) as session:
            return _to_document(session, _get_readable_row(session, viewer, document_id))

    def wait_until_processed(
        self, viewer: Viewer, document_ids: Sequence[str], timeout_seconds: float
    ) -> list[Document]:
        """Return the documents when all are processed, or after *timeout_seconds*."""
        started = time.monotonic()
        deadline = started + timeout_seconds
        while time.monotonic() < deadline and self._has_unprocessed(viewer, document_ids):
            threading.Event().wait(_get_poll_seconds(time.monotonic() - started))
        return [self.get_document(viewer, key) for key in document_ids]

    def _has_unprocessed(self, viewer: Viewer, document_ids: Sequence[str]) -> bool:
        """Return True if one of the documents is not processed. Cheap enough to be polled."""
        with (
            attach_span_context(None),  # do not add every poll to the trace
            self._database.read(viewer.tenant_id) as session,
        ):
            return store.has_document_with_status_other_than(
                session, viewer.tenant_id, document_ids, FINAL_STATUSES
            )

    def update_document(
        self,
        viewer: Viewer,
        document_id: str,
        *,
        title: str | None,
        metadata: Mapping[str, Any] | None,
        collection: str | None,
    ) -> Document:
        """Change the values that are not None. A new title or collection queues a reindexing."""
        with self._database.write(viewer.tenant_id) as session:
            row = _get_writable_row(session, viewer, document_id)
            if metadata is not None:
                row.attributes = dict(metadata)
                collection_changes.record_change(session, row.collection_id, row.id)
            if title is not None and title != row.title:
                row.title, row.title_given = title, True
                ingestion_queue.requeue_document(row)
                rename_attachments(session, row)
            if collection is not None:
                self._move_document(session, viewer, row, collection)
            document = _to_document(session, row)
        self._wake()
        return document

    def delete_document(self, viewer: Viewer, document_id: str) -> None:
        with self._database.write(viewer.tenant_id) as session:
            row = _get_writable_row(session, viewer, document_id)
            delete_with_attachments(session, self._audit, viewer, row)
        self._wake()

    def reindex_document(self, viewer: Viewer, document_id: str) -> Document:
        """Queue the document to be indexed again from its stored text.

        A failed document is extracted again. Searches find the current chunks until the new ones
        are ready.
        """
        with self._database.write(viewer.tenant_id) as session:
            row = _get_writable_row(session, viewer, document_id)
            ingestion_queue.requeue_document(row)
            document = _to_document(session, row)
        self._wake()
        return document

    def get_original(self, viewer: Viewer, document_id: str) -> tuple[Document, OriginalFile]:
        """Return the document and its uploaded file."""
        with self._database.read(viewer.tenant_id) as session:
            row = _get_readable_row(session, viewer, document_id)
            return _to_document(session, row), self._blob_storage.get_file(row.blob)

    def list_chunks(
        self, viewer: Viewer, document_id: str, after: int, limit: int
    ) -> tuple[list[DocumentChunk], str | None]:
        """Return a page of chunks after ordinal *after*, and the next cursor."""
        with self._database.read(viewer.tenant_id) as session:
            row = _get_readable_row(session, viewer, document_id)
            rows = chunk_store.list_chunks(session, row.id, row.generation, after, limit + 1)
            page, cursor = paginate(rows, limit, lambda chunk: (str(chunk.ordinal),))
            chunks = [
                DocumentChunk(
                    id=chunk.id,
                    ordinal=chunk.ordinal,
                    page=chunk.page,
                    start=chunk.start,
                    end=chunk.end,
                    section=chunk.section,
                    headings=chunk.headings,
                    table_header=chunk.table_header,
                    text=chunk.text,
                )
                for chunk in page
            ]
            return chunks, cursor

    def list_text_pages(
        self, viewer: Viewer, document_id: str, start: int = 0, end: int | None = None
    ) -> list[TextPage]:
        """Return the extracted text between *start* and *end*, page by page."""
        with self._database.read(viewer.tenant_id) as session:
            row = _get_readable_row(session, viewer, document_id)
            pages = store.list_pages(session, row.id, row.generation, start, end)
            return [_clip_page(page, start, end) for page in pages]

    def get_text_page(self, viewer: Viewer, document_id: str, number: int) -> TextPage | None:
        """Return the extracted text of one page, or None if it is not extracted."""
        with self._database.read(viewer.tenant_id) as session:
            row = _get_readable_row(session, viewer, document_id)
            page = store.get_page(session, row.id, row.generation, number)
            if page is None:
                return None
            return TextPage(page.number, page.start, page.text, page.lines or ())

    def _replace_same_filename(self, session: Session, viewer: Viewer, row: DocumentRow) -> None:
        """Record that *row* replaces the other documents with its file name when it is ready."""
        others = store.list_documents_with_same_filename(session, row)
        for other in others:
            # If two documents are to replace each other, the one uploaded last stays.
            other.replaces = [
                document_id for document_id in other.replaces if document_id != row.id
            ]
            if row.status == "ready":
                delete_with_attachments(session, self._audit, viewer, other, replaced_by=row.id)
        row.replaces = [other.id for other in others]

    def _move_document(
        self, session: Session, viewer: Viewer, row: DocumentRow, collection: str
    ) -> None:
        target = get_readable_collection(session, viewer, collection)
        ensure_writable(viewer, target)
        if target.id == row.collection_id:
            return
        row.attachment_of = None  # a document that is moved without its message is independent
        move_document(session, self._audit, self._blob_storage, viewer, row, target)


def _clip_page(page: PageRow, start: int, end: int | None) -> TextPage:
    first = max(0, start - page.start)
    last = None if end is None else max(0, end - page.start)
    return TextPage(page.number, page.start + first, page.text[first:last])


def _get_poll_seconds(waited_seconds: float) -> float:
    return min(max(waited_seconds / 10, _MIN_POLL_SECONDS), _MAX_POLL_SECONDS)


def _build_row(
    viewer: Viewer,
    upload: Upload,
    collection: CollectionRow,
    title: str | None,
    metadata: Mapping[str, Any],
) -> DocumentRow:
    row = DocumentRow(
        collection=collection,
        tenant_id=viewer.tenant_id,
        owner_id=viewer.user_id,
        filename=upload.filename,
        title=title or PurePath(upload.filename).stem,
        title_given=title is not None,
        content_type=upload.content_type,
        size_bytes=upload.size_bytes,
        sha256=upload.sha256,
        blob=upload.blob,
        attributes=dict(metadata),
    )
    ingestion_queue.record_request(row)
    return row


def _make_independent(row: DocumentRow, upload: Upload, title: str | None) -> None:
    """Turn the document of an attachment into an upload, which is not deleted with its message."""
    row.attachment_of = None
    row.filename = upload.filename
    row.title, row.title_given = title or PurePath(upload.filename).stem, title is not None
    ingestion_queue.requeue_document(row)


def _get_readable_row(session: Session, viewer: Viewer, document_id: str) -> DocumentRow:
    row = store.get_document(session, viewer.tenant_id, viewer.user_id, document_id)
    if row is None:
        raise DocumentNotFound
    return row


def _get_writable_row(session: Session, viewer: Viewer, document_id: str) -> DocumentRow:
    row = _get_readable_row(session, viewer, document_id)
    ensure_writable(viewer, row.collection)
    return row


def _to_document(session: Session, row: DocumentRow) -> Document:
    return _to_documents(session, [row])[0]


def _to_documents(session: Session, rows: Sequence[DocumentRow]) -> list[Document]:
    attachments: dict[str, list[Attachment]] = {row.id: [] for row in rows}
    for attachment, attached_id in attachment_store.list_attachments(session, list(attachments)):
        error = attachment.error_code and (attachment.error_code, attachment.error_detail or "")
        attachments[attachment.document_id].append(
            Attachment(
                filename=attachment.filename,
                content_type=attachment.content_type,
                size_bytes=attachment.size_bytes,
                document_id=attached_id,
                error=error or None,
            )
        )
    return [_build_document(row, attachments[row.id]) for row in rows]


def _build_document(row: DocumentRow, attachments: Sequence[Attachment]) -> Document:
    error = (row.error_code, row.error_detail or "") if row.error_code else None
    return Document(
        id=row.id,
        filename=row.filename,
        title=row.title,
        collection=row.collection.name,
        content_type=row.content_type,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        pages=row.pages,
        chunks=row.chunks,
        status=row.status,
        stage=row.stage,
        done=row.done,
        total=row.total,
        error=error,
        owner_id=row.owner_id,
        created_at=row.created_at,
        metadata=row.attributes,
        replaces=row.replaces,
        attachment_of=row.attachment_of,
        attachments=attachments,
        warnings=[(code, detail) for code, detail in row.warnings],
    )
