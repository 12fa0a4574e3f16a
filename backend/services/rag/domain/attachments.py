"""Attachments of messages as documents of their own, in the collection of the message.

A document that ingestion created for an attachment names its message in `attachment_of`. It is
deleted and moved with the message. It is kept if another message of the collection has the same
attachment, and becomes independent if a user uploads the same file or moves it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backend.chassis.database.sessions import Session
from backend.chassis.messaging.audit_outbox import AuditOutbox
from backend.chassis.web.problems import ServiceError
from backend.services.rag.domain.audit import record_document_deletion
from backend.services.rag.domain.blob_storage import BlobStorage
from backend.services.rag.domain.uploads import (
    FileReceiver,
    ReceivedFile,
    Upload,
    sanitize_filename,
)
from backend.services.rag.extraction.content import MAX_ATTACHMENT_BYTES, MAX_ATTACHMENTS
from backend.services.rag.model import Viewer
from backend.services.rag.store import attachments as store
from backend.services.rag.store import collection_changes, ingestion_queue
from backend.services.rag.store import documents as document_store
from backend.services.rag.store.attachments import AttachmentRow
from backend.services.rag.store.collections import CollectionRow
from backend.services.rag.store.documents import DocumentRow, RemovalRow

# Maximum nesting of messages that are attached to messages. The attachments of an inner message
# are stored once more for each level.
MAX_DEPTH = 3
_MAX_TITLE_CHARS = 500
_MAX_MEDIA_TYPE_CHARS = 100
_LIMIT_DETAILS = {
    "too_many_attachments": f"Only {MAX_ATTACHMENTS} attachments of a message are read. Upload "
    "this file separately.",
    "attachment_too_large": f"Attachments of more than {MAX_ATTACHMENT_BYTES // 2**20} MiB are "
    "not read. Upload this file separately.",
    "nested_too_deeply": f"Messages are read up to {MAX_DEPTH} levels within each other. Upload "
    "this file separately.",
}


@dataclass(frozen=True, slots=True)
class ReceivedAttachment:
    """An attachment with its stored file, or with the error code and detail if it is not read."""

    filename: str
    media_type: str
    size_bytes: int
    upload: Upload | None
    error: tuple[str, str] | None


class AttachmentReceiver:
    """Stores the attachments of a message, whose data the extraction process sends in pieces."""

    def __init__(self, receiver: FileReceiver) -> None:
        self._receiver = receiver
        self._received: list[ReceivedAttachment] = []
        self._current: tuple[str, str, ReceivedFile] | None = None

    def start_attachment(
        self, filename: str, media_type: str, size_bytes: int, error_code: str | None
    ) -> None:
        """Begin the next attachment. If *error_code* is given, no content follows."""
        self._finish_current()
        if error_code is not None:
            error = error_code, _LIMIT_DETAILS.get(error_code, "This attachment is not read.")
            self._add(filename, media_type, size_bytes, None, error)
            return
        self._current = filename, media_type, self._receiver.create_file()

    def write(self, data: bytes) -> None:
        if self._current is not None:
            self._current[2].write(data)

    def finish(self) -> list[ReceivedAttachment]:
        """Return all attachments. Their files are flushed to disk."""
        self._finish_current()
        if self._received:
            self._receiver.sync_folder()
        return self._received

    def _finish_current(self) -> None:
        if self._current is None:
            return
        filename, media_type, file = self._current
        self._current = None
        size_bytes = file.size_bytes
        try:
            upload = file.validate_upload(filename, media_type)
        except ServiceError as problem:
            error = problem.code, str(problem)
            self._add(filename, media_type, size_bytes, None, error)
        else:
            self._add(filename, upload.content_type, size_bytes, upload, None)

    def _add(
        self,
        filename: str,
        media_type: str,
        size_bytes: int,
        upload: Upload | None,
        error: tuple[str, str] | None,
    ) -> None:
        name = sanitize_filename(filename)
        media_type = media_type[:_MAX_MEDIA_TYPE_CHARS]
        self._received.append(ReceivedAttachment(name, media_type, size_bytes, upload, error))


def store_attachments(
    session: Session,
    audit: AuditOutbox,
    message: DocumentRow,
    received: Sequence[ReceivedAttachment],
) -> list[str]:
    """Store the attachments of *message* and queue a document for each that can be read.

    Called in the transaction that stores the text of the message: a repeated ingestion stores the
    same attachments and creates no document twice. The queue limit does not apply, because the
    message was accepted already.

    Returns:
        The blobs of the files for which a document was created.
    """
    is_too_deep = _get_depth(session, message) >= MAX_DEPTH
    rows, blobs = [], []
    for number, each in enumerate(received, 1):
        upload, error = each.upload, each.error
        if upload is not None and is_too_deep:
            upload, error = None, ("nested_too_deeply", _LIMIT_DETAILS["nested_too_deeply"])
        if upload is not None:
            attached = _build_document(message, upload)
            # The collection can have this file already, from another message or an upload.
            if document_store.add_document(session, attached):
                blobs.append(upload.blob)
        rows.append(
            AttachmentRow(
                document_id=message.id,
                number=number,
                filename=each.filename,
                content_type=each.media_type,
                size_bytes=each.size_bytes,
                sha256=upload.sha256 if upload else None,
                error_code=error[0] if error else None,
                error_detail=error[1][:500] if error else None,
            )
        )
    store.replace_attachments(session, message.id, rows)
    digests = {row.sha256 for row in rows}
    uploader = Viewer(message.tenant_id, message.owner_id)
    for attached in store.list_attached_documents(session, message.id):
        if attached.sha256 not in digests:  # created by an earlier ingestion that then failed
            _release(session, audit, uploader, attached)
    return blobs


def delete_with_attachments(
    session: Session, audit: AuditOutbox, viewer: Viewer, row: DocumentRow, **details: Any
) -> None:
    """Delete the document and the documents of its attachments, and record it for the audit."""
    record_document_deletion(audit, session, viewer, row, **details)
    document_store.delete_document(session, row)
    for attached in store.list_attached_documents(session, row.id):
        _release(session, audit, viewer, attached)


def rename_attachments(session: Session, message: DocumentRow) -> None:
    """Change the titles of the attachments' documents to contain the new title of *message*."""
    for attached in store.list_attached_documents(session, message.id):
        _set_title(attached, message)


def move_document(
    session: Session,
    audit: AuditOutbox,
    blob_storage: BlobStorage,
    viewer: Viewer,
    row: DocumentRow,
    target: CollectionRow,
) -> None:
    """Move the document and the documents of its attachments to *target*.

    Raises:
        DuplicateDocument: *target* has a document with the same content.
    """
    source_id = row.collection_id
    session.add(RemovalRow(collection_id=source_id, document_id=row.id))
    document_store.schedule_late_cleanup(session, row)
    # Lock in the order of ids, so that two moves in opposite directions cannot deadlock.
    for collection_id in sorted((source_id, target.id)):
        collection_changes.record_change(session, collection_id, row.id)
    document_store.move_document(session, row, target)
    ingestion_queue.requeue_document(row)
    for attachment, _ in store.list_attachments(session, [row.id]):
        attached = store.find_document_by_hash(session, source_id, attachment.sha256)
        if attached is None or store.find_document_by_hash(session, target.id, attached.sha256):
            continue
        if attached.attachment_of == row.id and not store.find_other_message(session, attached):
            move_document(session, audit, blob_storage, viewer, attached, target)
        else:
            _copy_document(session, blob_storage, attached, row)
    for attached in store.list_attached_documents(session, row.id):
        if attached.collection_id == source_id:
            _release(session, audit, viewer, attached)


def _copy_document(
    session: Session, blob_storage: BlobStorage, attached: DocumentRow, message: DocumentRow
) -> None:
    """Create a document of *message* with a copy of the file, which another message also has."""
    upload = Upload(
        blob_storage.copy_blob(attached.blob, attached.tenant_id, session),
        attached.filename,
        attached.content_type,
        attached.size_bytes,
        attached.sha256,
    )
    document_store.add_document(session, _build_document(message, upload))


def _release(session: Session, audit: AuditOutbox, viewer: Viewer, attached: DocumentRow) -> None:
    """Assign *attached* to another message with the same attachment, or delete it."""
    other = store.find_other_message(session, attached)
    if other is None:
        message_id = attached.attachment_of
        delete_with_attachments(session, audit, viewer, attached, attachment_of=message_id)
        return
    attached.attachment_of = other.id
    _set_title(attached, other)


def _build_document(message: DocumentRow, upload: Upload) -> DocumentRow:
    row = DocumentRow(
        collection=message.collection,
        tenant_id=message.tenant_id,
        owner_id=message.owner_id,
        filename=upload.filename,
        title=_build_title(upload.filename, message),
        # The title names the message, so extraction does not change it.
        title_given=True,
        content_type=upload.content_type,
        size_bytes=upload.size_bytes,
        sha256=upload.sha256,
        blob=upload.blob,
        attributes=dict(message.attributes),
        attachment_of=message.id,
    )
    row.request_id, row.traceparent = message.request_id, message.traceparent
    return row


def _build_title(filename: str, message: DocumentRow) -> str:
    return f"{filename} (attachment of {message.title})"[:_MAX_TITLE_CHARS]


def _set_title(attached: DocumentRow, message: DocumentRow) -> None:
    title = _build_title(attached.filename, message)
    if title != attached.title:
        attached.title = title
        ingestion_queue.requeue_document(attached)


def _get_depth(session: Session, message: DocumentRow) -> int:
    """Return the number of messages that enclose *message*, at most MAX_DEPTH."""
    depth, row = 0, message
    while row.attachment_of is not None and depth < MAX_DEPTH:
        outer = session.get(DocumentRow, row.attachment_of)
        if outer is None:
            break
        depth, row = depth + 1, outer
    return depth
