"""Endpoints for documents: upload, list, read, change, reindex and delete."""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from flask import Blueprint, Response, make_response, stream_with_context
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.file_downloads import send_download
from backend.chassis.web.idempotency import run_idempotently
from backend.chassis.web.openapi import (
    accepts_form,
    request_example,
    responds_with,
    responds_with_stream,
)
from backend.chassis.web.paging import PageQuery
from backend.chassis.web.sse import HEARTBEAT, HEARTBEAT_SECONDS, format_event
from backend.chassis.web.wait_slots import WaitSlots
from backend.security import (
    HttpError,
    Input,
    Permission,
    current_principal,
    ensure_session_valid,
    invalid_field,
    require_permission,
    validate_input,
    validate_query,
)
from backend.services.rag.domain.blob_storage import BlobStorage
from backend.services.rag.domain.documents import Document, DocumentService
from backend.services.rag.domain.uploads import FileReceiver, UploadLimits
from backend.services.rag.errors import (
    CollectionNotFound,
    CollectionReadOnly,
    DocumentNotFound,
    DuplicateDocument,
    EmptyFile,
    IngestionQueueFull,
    TooManyProgressStreams,
    UnreadableDocument,
    UnsupportedDocumentType,
    UploadTooLarge,
)
from backend.services.rag.extraction.document_types import MEDIA_TYPES
from backend.services.rag.routes.access import cursor_key, get_viewer
from backend.services.rag.routes.collections import COLLECTION_NAME, Name
from backend.services.rag.routes.page_views import MAX_POSITION
from backend.services.rag.routes.uploads import (
    LINE,
    MAX_PASSWORD_CHARS,
    MAX_TITLE_CHARACTERS,
    Metadata,
    Title,
    parse_upload_form,
)

documents = Blueprint("documents", __name__)
_POLL_SECONDS = {"queued": 1.0, "processing": 0.3}
# A stream holds a server thread, so its duration is limited. The client then reconnects.
_MAX_STREAM_SECONDS = 600.0
_RETRY_FIELD = b"retry: 1000\n\n"
Status = Literal["queued", "processing", "ready", "failed"]


class UploadQuery(Input):
    wait: Annotated[float, Field(ge=0, le=60)] = 0


class DocumentQuery(PageQuery):
    collection: Annotated[str, Field(max_length=64)] | None = None
    status: Status | None = None
    q: Annotated[str, Field(max_length=200)] | None = None


class TextQuery(Input):
    start: Annotated[int, Field(ge=0, le=MAX_POSITION)] = 0
    end: Annotated[int, Field(ge=0, le=MAX_POSITION)] | None = None


class DocumentUpdate(Input):
    title: Title | None = None
    metadata: Metadata | None = None
    collection: Name | None = None


class Progress(BaseModel):
    """Progress within the current ingestion stage."""

    stage: str
    done: int
    total: int


class Failure(BaseModel):
    """The reason why a document could not be processed."""

    code: str
    detail: str


class DocumentWarning(BaseModel):
    """A part of a document that was not read, and what to do."""

    code: str
    detail: str


class AttachmentResponse(BaseModel):
    """An attachment of an e-mail.

    `document_id` is the document with its text. It is null if the attachment was not read, for the
    reason in `error`, or if its document was deleted or moved to another collection.
    """

    filename: str
    content_type: str
    size_bytes: int
    document_id: str | None
    error: Failure | None


class DocumentResponse(BaseModel):
    """A document. `pages` is null for file types without pages.

    The documents in `replaces` are deleted when this one is ready. `attachment_of` is the e-mail
    that this document was attached to; it is deleted with that e-mail. `attachments` is empty for
    other documents than e-mail.
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
    status: Status
    progress: Progress
    error: Failure | None
    owner_id: str
    created_at: datetime
    metadata: Mapping[str, Any]
    replaces: Sequence[str]
    attachment_of: str | None
    attachments: Sequence[AttachmentResponse]
    warnings: Sequence[DocumentWarning]

    @classmethod
    def from_document(cls, document: Document) -> Self:
        return cls(
            id=document.id,
            filename=document.filename,
            title=document.title,
            collection=document.collection,
            content_type=document.content_type,
            size_bytes=document.size_bytes,
            sha256=document.sha256,
            pages=document.pages,
            chunks=document.chunks,
            status=document.status,
            progress=Progress(stage=document.stage, done=document.done, total=document.total),
            error=document.error and Failure(code=document.error[0], detail=document.error[1]),
            owner_id=document.owner_id,
            created_at=document.created_at,
            metadata=document.metadata,
            replaces=document.replaces,
            attachment_of=document.attachment_of,
            attachments=[
                AttachmentResponse(
                    filename=each.filename,
                    content_type=each.content_type,
                    size_bytes=each.size_bytes,
                    document_id=each.document_id,
                    error=each.error and Failure(code=each.error[0], detail=each.error[1]),
                )
                for each in document.attachments
            ],
            warnings=[
                DocumentWarning(code=code, detail=detail) for code, detail in document.warnings
            ],
        )


class UploadResponse(BaseModel):
    documents: list[DocumentResponse]


class DocumentPage(BaseModel):
    items: list[DocumentResponse]
    next_cursor: str | None


class ChunkResponse(BaseModel):
    """A chunk: the characters `start` to `end` of the document's text.

    `section` is the heading of the section that contains its start, and `headings` are those
    within it. `table_header` is the header row of the table that the chunk continues, or empty.
    """

    id: str
    page: int | None
    start: int
    end: int
    section: str
    headings: list[str]
    table_header: str
    text: str


class ChunkPage(BaseModel):
    items: list[ChunkResponse]
    next_cursor: str | None


class TextPageResponse(BaseModel):
    number: int
    start: int
    text: str


class DocumentTextResponse(BaseModel):
    """The extracted text. All offsets refer to the joined texts of the pages."""

    pages: list[TextPageResponse]


@documents.post("/documents")
@require_permission(Permission.RAG_WRITE)
@validate_query(UploadQuery)
@accepts_form(
    file={
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "minItems": 1,
        "description": "PDF, DOCX, PPTX, XLSX, HTML, Markdown, CSV, JSON, JSON Lines, EML, "
        "iCalendar, plain text in any common encoding, or images. The type is detected from the "
        "content.",
        "x-required": True,
    },
    collection={
        "type": "string",
        "pattern": COLLECTION_NAME,
        "description": "Name or id. A collection of this name is created if it does not exist.",
    },
    title={"type": "string", "maxLength": MAX_TITLE_CHARACTERS, "pattern": LINE},
    metadata={
        "type": "string",
        "contentMediaType": "application/json",
        "description": "A JSON object.",
    },
    password={
        "type": "string",
        "format": "password",
        "maxLength": MAX_PASSWORD_CHARS,
        "pattern": LINE,
        "description": "Password of encrypted files. It is stored encrypted until they are "
        "processed, and then deleted.",
    },
    replace={
        "type": "boolean",
        "description": "Replace documents of the collection with the same file name. Searches find "
        "them until the new document is ready, and then they are deleted.",
    },
)
@responds_with_stream(
    statuses=(200, 201, 202),
    model=UploadResponse,
    errors=(
        EmptyFile,
        UnreadableDocument,
        UnsupportedDocumentType,
        UploadTooLarge,
        CollectionReadOnly,
        IngestionQueueFull,
    ),
)
@request_example(
    {
        "file": ["Ada Lovelace published the first computer program in 1843."],
        "title": "Notes on the Analytical Engine",
        "metadata": '{"year": 1843}',
    }
)
def add_documents(query: UploadQuery) -> ResponseReturnValue:
    """Upload one or more files.

    202: the files are stored durably and queued. 201: with `wait`, all of them were processed in
    time. 200: the collection already contains the same content, and no document was added. If its
    processing failed, it is tried again.
    """
    limits = use(UploadLimits)
    with use(BlobStorage).receive_files(limits.max_bytes, get_viewer().tenant_id) as receiver:
        return _add_documents(receiver, limits.max_bytes, query.wait)


def _add_documents(receiver: FileReceiver, max_bytes: int, wait_seconds: float) -> Response:
    form = parse_upload_form(receiver, max_bytes)

    def add() -> Response:
        added, any_new = use(DocumentService).add_documents(
            get_viewer(),
            receiver,
            form.uploads,
            collection=form.collection,
            title=form.title,
            metadata=form.metadata,
            replace=form.replace,
            password=form.password,
        )
        if wait_seconds:
            added = _wait_until_processed(added, wait_seconds)
        is_processed = bool(wait_seconds) and all(document.is_processed for document in added)
        status = (201 if is_processed else 202) if any_new else 200
        body = UploadResponse(
            documents=[DocumentResponse.from_document(document) for document in added]
        )
        return make_response(body.model_dump_json(), status, {"Content-Type": "application/json"})

    return run_idempotently(form.fingerprint, add)


def _wait_until_processed(added: list[Document], timeout_seconds: float) -> list[Document]:
    """Return the documents when they are processed, or unchanged if no wait slot is free."""
    with use(WaitSlots).limit_wait(timeout_seconds) as seconds:
        if not seconds:
            return added
        return use(DocumentService).wait_until_processed(
            get_viewer(), [document.id for document in added], seconds
        )


@documents.get("/documents")
@require_permission(Permission.RAG_READ)
@validate_query(DocumentQuery)
@responds_with(DocumentPage, errors=(CollectionNotFound,))
def list_documents(query: DocumentQuery) -> DocumentPage:
    """List documents, newest first. `q` filters by title and file name."""
    page, cursor = use(DocumentService).list_documents(
        get_viewer(),
        collection=query.collection,
        status=query.status,
        text_filter=query.q,
        before=cursor_key(query),
        limit=query.limit,
    )
    return DocumentPage(
        items=[DocumentResponse.from_document(document) for document in page], next_cursor=cursor
    )


@documents.get("/documents/<document_id>")
@require_permission(Permission.RAG_READ)
@responds_with(DocumentResponse, errors=(DocumentNotFound,))
def get_document(document_id: str) -> DocumentResponse:
    """Get a document and the progress of its ingestion."""
    return DocumentResponse.from_document(
        use(DocumentService).get_document(get_viewer(), document_id)
    )


@documents.patch("/documents/<document_id>")
@require_permission(Permission.RAG_WRITE)
@validate_input(DocumentUpdate)
@responds_with(
    DocumentResponse,
    errors=(DocumentNotFound, CollectionNotFound, CollectionReadOnly, DuplicateDocument),
)
@request_example(
    {"title": "Notes on the Analytical Engine, second edition", "metadata": {"year": 1843}}
)
def update_document(body: DocumentUpdate, document_id: str) -> DocumentResponse:
    """Change title, metadata or collection. A new title or collection reindexes the document."""
    return DocumentResponse.from_document(
        use(DocumentService).update_document(
            get_viewer(),
            document_id,
            title=body.title,
            metadata=body.metadata,
            collection=body.collection,
        )
    )


@documents.delete("/documents/<document_id>")
@require_permission(Permission.RAG_WRITE)
@responds_with(None, 204, errors=(DocumentNotFound, CollectionReadOnly))
def delete_document(document_id: str) -> None:
    """Delete a document. Searches no longer find it immediately afterwards."""
    use(DocumentService).delete_document(get_viewer(), document_id)


@documents.post("/documents/<document_id>/reindex")
@require_permission(Permission.RAG_WRITE)
@responds_with(DocumentResponse, 202, errors=(DocumentNotFound, CollectionReadOnly))
def reindex_document(document_id: str) -> DocumentResponse:
    """Index the document again. Searches find its current chunks until the new ones are ready."""
    return DocumentResponse.from_document(
        use(DocumentService).reindex_document(get_viewer(), document_id)
    )


@documents.get("/documents/<document_id>/content")
@require_permission(Permission.RAG_READ)
@responds_with_stream(*MEDIA_TYPES, errors=(DocumentNotFound,))
def get_document_content(document_id: str) -> Response:
    """Download the uploaded file, or the part of it that `Range` selects."""
    document, file = use(DocumentService).get_original(get_viewer(), document_id)
    try:
        source = file.find_download()
        if source is None:
            raise DocumentNotFound
        return send_download(
            source,
            mimetype=document.content_type,
            download_name=document.filename,
            etag=document.sha256,
        )
    except FileNotFoundError as error:  # the document was deleted meanwhile
        raise DocumentNotFound from error


@documents.get("/documents/<document_id>/chunks")
@require_permission(Permission.RAG_READ)
@validate_query(PageQuery)
@responds_with(ChunkPage, errors=(DocumentNotFound,))
def list_document_chunks(query: PageQuery, document_id: str) -> ChunkPage:
    """List the chunks of a document in order."""
    after = cursor_key(query) or "-1"
    if not after.removeprefix("-").isdecimal() or len(after) > 9:
        raise invalid_field("#/cursor", "Use the next_cursor of the previous page.")
    page, cursor = use(DocumentService).list_chunks(
        get_viewer(), document_id, int(after), query.limit
    )
    items = [ChunkResponse.model_validate(chunk, from_attributes=True) for chunk in page]
    return ChunkPage(items=items, next_cursor=cursor)


@documents.get("/documents/<document_id>/text")
@require_permission(Permission.RAG_READ)
@validate_query(TextQuery)
@responds_with(DocumentTextResponse, errors=(DocumentNotFound,))
def get_document_text(query: TextQuery, document_id: str) -> DocumentTextResponse:
    """Get the extracted text page by page. Offsets of chunks and quotes refer to it.

    With `start` and `end`, only the text between these positions is returned; the `start` of the
    first page is then the position of its first character.
    """
    pages = use(DocumentService).list_text_pages(get_viewer(), document_id, query.start, query.end)
    return DocumentTextResponse(
        pages=[TextPageResponse.model_validate(page, from_attributes=True) for page in pages]
    )


@documents.get("/documents/<document_id>/events")
@require_permission(Permission.RAG_READ)
@responds_with_stream("text/event-stream", errors=(DocumentNotFound, TooManyProgressStreams))
def stream_document_events(document_id: str) -> Response:
    """Stream `progress` events with the document until it is ready or failed.

    A stream ends after ten minutes. A browser's EventSource then reconnects automatically.
    """
    document = use(DocumentService).get_document(get_viewer(), document_id)
    slots = use(WaitSlots)
    if not slots.acquire_slot():
        raise TooManyProgressStreams
    response = Response(
        stream_with_context(_iterate_events(document)),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
    response.call_on_close(slots.release_slot)
    return response


def _iterate_events(document: Document) -> Iterator[bytes]:
    sent, sent_at = None, time.monotonic()
    deadline = time.monotonic() + _MAX_STREAM_SECONDS
    yield _RETRY_FIELD
    while time.monotonic() < deadline:
        if document != sent:
            sent, sent_at = document, time.monotonic()
            yield format_event(
                "progress", DocumentResponse.from_document(document).model_dump(mode="json")
            )
        elif time.monotonic() - sent_at >= HEARTBEAT_SECONDS:
            sent_at = time.monotonic()
            yield HEARTBEAT
        if document.is_processed:
            return
        time.sleep(_POLL_SECONDS[document.status])
        try:
            ensure_session_valid(current_principal())
            document = use(DocumentService).get_document(get_viewer(), document.id)
        except (DocumentNotFound, HttpError):
            return  # the document was deleted, or the caller lost access to it
