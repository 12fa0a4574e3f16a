"""Documents over HTTP."""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from flask import Blueprint, Response, make_response, send_file, stream_with_context
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.idempotency import once_per_key
from backend.chassis.web.openapi import answers, answers_stream, takes_form
from backend.chassis.web.paging import PageQuery
from backend.chassis.web.sse import HEARTBEAT, HEARTBEAT_SECONDS, event
from backend.security import (
    Input,
    Permission,
    Refusal,
    current_principal,
    ensure_standing,
    invalid_field,
    require_permission,
    validate_input,
    validate_query,
)
from backend.services.rag.domain.documents import Document, Documents, Watchers
from backend.services.rag.domain.uploads import MEDIA_TYPES, Blobs, Incoming, UploadLimits
from backend.services.rag.errors import (
    AlreadyThere,
    CollectionNotFound,
    DocumentNotFound,
    EmptyFile,
    QueueFull,
    ReadOnly,
    TooLarge,
    TooManyWatchers,
    UnreadableDocument,
    UnsupportedDocument,
)
from backend.services.rag.routes.collections import COLLECTION_NAME, Name
from backend.services.rag.routes.reader import behind, reader
from backend.services.rag.routes.uploads import MOST_PASSWORD_CHARACTERS, Metadata, Title, read_form

documents = Blueprint("documents", __name__)
_LOOK_AGAIN_SECONDS = {"queued": 1.0, "processing": 0.3}
# A stream holds a thread of the server. Where a queue is long, its reader comes back.
_STREAM_SECONDS = 600.0
_COME_BACK = b"retry: 1000\n\n"
Status = Literal["queued", "processing", "ready", "failed"]


class UploadQuery(Input):
    wait: Annotated[float, Field(ge=0, le=60)] = 0


class DocumentQuery(PageQuery):
    collection: Annotated[str, Field(max_length=64)] | None = None
    status: Status | None = None
    q: Annotated[str, Field(max_length=200)] | None = None


class DocumentChange(Input):
    title: Title | None = None
    metadata: Metadata | None = None
    collection: Name | None = None


class Progress(BaseModel):
    stage: str
    done: int
    total: int


class Failure(BaseModel):
    code: str
    detail: str


class DocumentOut(BaseModel):
    """`pages` is null for a kind of file that has none; what is in `replaces` goes, or went,
    when this document is ready."""

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

    @classmethod
    def of(cls, document: Document) -> Self:
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
        )


class UploadedDocuments(BaseModel):
    documents: list[DocumentOut]


class DocumentPage(BaseModel):
    items: list[DocumentOut]
    next_cursor: str | None


class ChunkOut(BaseModel):
    """A passage: the characters `start` to `end` of the document's text."""

    id: str
    page: int | None
    start: int
    end: int
    section: str
    text: str


class ChunkPage(BaseModel):
    items: list[ChunkOut]
    next_cursor: str | None


class TextPageOut(BaseModel):
    number: int
    start: int
    text: str


class DocumentText(BaseModel):
    """The extracted text. Joined as they stand, the pages are what all offsets count in."""

    pages: list[TextPageOut]


@documents.post("/documents")
@require_permission(Permission.RAG_WRITE)
@validate_query(UploadQuery)
@takes_form(
    file={
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "minItems": 1,
        "description": "PDF, DOCX, PPTX, XLSX, HTML, Markdown, CSV, JSON, JSON Lines, EML, "
        "plain text in any common encoding, or pictures; one or more. Its bytes tell what it is.",
        "x-required": True,
    },
    collection={
        "type": "string",
        "pattern": COLLECTION_NAME,
        "description": "Made if there is none of this name.",
    },
    title={"type": "string", "maxLength": 300},
    metadata={
        "type": "string",
        "contentMediaType": "application/json",
        "description": "A JSON object.",
    },
    password={
        "type": "string",
        "format": "password",
        "maxLength": MOST_PASSWORD_CHARACTERS,
        "description": "Opens those of the files that are encrypted. Kept sealed until they are "
        "read, and then forgotten.",
    },
    replace={
        "type": "boolean",
        "description": "Put each file in the place of what the collection holds under the same "
        "file name: that is found until the new one is ready, and then gone.",
    },
)
@answers_stream(
    statuses=(200, 201, 202),
    model=UploadedDocuments,
    errors=(EmptyFile, UnreadableDocument, UnsupportedDocument, TooLarge, ReadOnly, QueueFull),
)
def add_documents(query: UploadQuery) -> ResponseReturnValue:
    """Take in one or more files.

    202: they are safely stored and wait to be read. 201: `wait` was given and all were
    read in time. 200: the collection holds the same bytes already, and nothing was added; if
    reading them had failed, it is tried again.
    """
    limits = use(UploadLimits)
    with use(Blobs).receive(limits.most_bytes) as incoming:
        return _add(incoming, limits.most_bytes, query.wait)


def _add(incoming: Incoming, most_bytes: int, wait: float) -> Response:
    form = read_form(incoming, most_bytes)

    def act() -> Response:
        added, any_new = use(Documents).add(
            reader(),
            incoming,
            form.uploads,
            collection=form.collection,
            title=form.title,
            metadata=form.metadata,
            replace=form.replace,
            password=form.password,
        )
        if wait:
            added = _waited_for(added, wait)
        done = bool(wait) and all(each.is_done for each in added)
        status = (201 if done else 202) if any_new else 200
        body = UploadedDocuments(documents=[DocumentOut.of(each) for each in added])
        return make_response(body.model_dump_json(), status, {"Content-Type": "application/json"})

    return once_per_key(form.fingerprint, act)


def _waited_for(added: list[Document], seconds: float) -> list[Document]:
    """The documents once they are read; as they are where too many wait already."""
    watchers = use(Watchers)
    if not watchers.enter():
        return added
    try:
        return use(Documents).wait(reader(), [each.id for each in added], seconds)
    finally:
        watchers.leave()


@documents.get("/documents")
@require_permission(Permission.RAG_READ)
@validate_query(DocumentQuery)
@answers(DocumentPage, errors=(CollectionNotFound,))
def list_documents(query: DocumentQuery) -> DocumentPage:
    """The newest first; `q` is looked for in titles and file names."""
    found, cursor = use(Documents).page(
        reader(),
        collection=query.collection,
        status=query.status,
        containing=query.q,
        before=behind(query),
        limit=query.limit,
    )
    return DocumentPage(items=[DocumentOut.of(each) for each in found], next_cursor=cursor)


@documents.get("/documents/<document_id>")
@require_permission(Permission.RAG_READ)
@answers(DocumentOut, errors=(DocumentNotFound,))
def show_document(document_id: str) -> DocumentOut:
    """One document and how far its reading is."""
    return DocumentOut.of(use(Documents).find(reader(), document_id))


@documents.patch("/documents/<document_id>")
@require_permission(Permission.RAG_WRITE)
@validate_input(DocumentChange)
@answers(DocumentOut, errors=(DocumentNotFound, CollectionNotFound, ReadOnly, AlreadyThere))
def change_document(change: DocumentChange, document_id: str) -> DocumentOut:
    """Change title, metadata or collection; the first and last make it be read again."""
    return DocumentOut.of(
        use(Documents).change(
            reader(),
            document_id,
            title=change.title,
            metadata=change.metadata,
            collection=change.collection,
        )
    )


@documents.delete("/documents/<document_id>")
@require_permission(Permission.RAG_WRITE)
@answers(None, 204, errors=(DocumentNotFound, ReadOnly))
def delete_document(document_id: str) -> None:
    """Delete a document: from now on nothing shows any of it."""
    use(Documents).delete(reader(), document_id)


@documents.post("/documents/<document_id>/reindex")
@require_permission(Permission.RAG_WRITE)
@answers(DocumentOut, 202, errors=(DocumentNotFound, ReadOnly))
def reindex_document(document_id: str) -> DocumentOut:
    """Read the document again; until that is done its present passages are found."""
    return DocumentOut.of(use(Documents).reindex(reader(), document_id))


@documents.get("/documents/<document_id>/content")
@require_permission(Permission.RAG_READ)
@answers_stream(*MEDIA_TYPES, errors=(DocumentNotFound,))
def document_content(document_id: str) -> Response:
    """The bytes as they were uploaded, as an attachment."""
    document, path = use(Documents).content(reader(), document_id)
    try:
        return send_file(
            path,
            mimetype=document.content_type,
            as_attachment=True,
            download_name=document.filename,
            etag=document.sha256,
        )
    except FileNotFoundError as error:  # deleted between the look and the opening
        raise DocumentNotFound from error


@documents.get("/documents/<document_id>/chunks")
@require_permission(Permission.RAG_READ)
@validate_query(PageQuery)
@answers(ChunkPage, errors=(DocumentNotFound,))
def document_chunks(query: PageQuery, document_id: str) -> ChunkPage:
    """The passages of a document, in order."""
    after = behind(query) or "-1"
    if not after.removeprefix("-").isdecimal() or len(after) > 9:
        raise invalid_field("#/cursor", "Use the next_cursor of the page before.")
    found, cursor = use(Documents).passages(reader(), document_id, int(after), query.limit)
    items = [ChunkOut.model_validate(each, from_attributes=True) for each in found]
    return ChunkPage(items=items, next_cursor=cursor)


@documents.get("/documents/<document_id>/text")
@require_permission(Permission.RAG_READ)
@answers(DocumentText, errors=(DocumentNotFound,))
def document_text(document_id: str) -> DocumentText:
    """The text that offsets count in, page by page."""
    pages = use(Documents).text(reader(), document_id)
    return DocumentText(
        pages=[TextPageOut.model_validate(page, from_attributes=True) for page in pages]
    )


@documents.get("/documents/<document_id>/events")
@require_permission(Permission.RAG_READ)
@answers_stream("text/event-stream", errors=(DocumentNotFound, TooManyWatchers))
def document_events(document_id: str) -> Response:
    """`progress` events, each with the document, until it is ready or failed.

    A stream lasts ten minutes at most; a browser's EventSource then opens another by itself.
    """
    first = use(Documents).find(reader(), document_id)
    watchers = use(Watchers)
    if not watchers.enter():
        raise TooManyWatchers
    response = Response(
        stream_with_context(_events(first)),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
    response.call_on_close(watchers.leave)
    return response


def _events(document: Document) -> Iterator[bytes]:
    told, quiet_since = None, time.monotonic()
    end = time.monotonic() + _STREAM_SECONDS
    yield _COME_BACK
    while time.monotonic() < end:
        if document != told:
            told, quiet_since = document, time.monotonic()
            yield event("progress", DocumentOut.of(document).model_dump(mode="json"))
        elif time.monotonic() - quiet_since >= HEARTBEAT_SECONDS:
            quiet_since = time.monotonic()
            yield HEARTBEAT
        if document.is_done:
            return
        time.sleep(_LOOK_AGAIN_SECONDS[document.status])
        try:
            ensure_standing(current_principal())
            document = use(Documents).find(reader(), document.id)
        except (DocumentNotFound, Refusal):
            return  # deleted, or no longer this caller's: there is nothing more to tell
