"""Documents: take in, list, change, delete, hand out again."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any

from backend.chassis.database.sessions import Database, Session, take_turns
from backend.chassis.encryption import Seal
from backend.chassis.observability.tracing import standing
from backend.chassis.web.paging import cut_page
from backend.services.rag.domain.collections import (
    Reader,
    ensure_writable,
    found,
    writable,
)
from backend.services.rag.domain.uploads import Blobs, Incoming, Upload, is_lockable
from backend.services.rag.errors import DocumentNotFound, QueueFull
from backend.services.rag.store import changes, queue
from backend.services.rag.store import chunks as chunk_store
from backend.services.rag.store import documents as store
from backend.services.rag.store.collections import CollectionRow
from backend.services.rag.store.documents import DocumentRow, RemovalRow, Status

DONE = ("ready", "failed")
_LOOK_AGAIN_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Document:
    """A document as its readers see it."""

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
    stage: str
    done: int
    total: int
    error: tuple[str, str] | None
    owner_id: str
    created_at: datetime
    metadata: Mapping[str, Any]
    replaces: Sequence[str]

    @property
    def is_done(self) -> bool:
        return self.status in DONE


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a document's text: the characters from *start* to *end*."""

    id: str
    ordinal: int
    page: int | None
    start: int
    end: int
    section: str
    text: str


@dataclass(frozen=True, slots=True)
class TextPage:
    """A page of the extracted text; passages and quotes count from the first page's start."""

    number: int
    start: int
    text: str


class Watchers:
    """Callers who wait for documents to be read. Each holds a thread of the server, so they
    may never hold all of them."""

    def __init__(self, most: int) -> None:
        self._free = threading.BoundedSemaphore(most)

    def enter(self) -> bool:
        return self._free.acquire(blocking=False)

    def leave(self) -> None:
        self._free.release()


class Documents:
    """What a reader may do with documents."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        wake: Callable[[], None],
        seal: Seal,
        *,
        most_waiting: int,
    ) -> None:
        self._database = database
        self._everything = database.across_tenants()
        self._blobs = blobs
        self._wake = wake
        self._seal = seal
        self._most_waiting = most_waiting

    def add(
        self,
        reader: Reader,
        incoming: Incoming,
        uploads: Sequence[Upload],
        *,
        collection: str | None,
        title: str | None,
        metadata: Mapping[str, Any],
        replace: bool = False,
        password: str | None = None,
    ) -> tuple[list[Document], bool]:
        """The documents of *uploads*, and whether any of them is new.

        With *replace*, each goes to the place of those of its file name when it is ready.
        *password* opens those that are locked; it is kept sealed, and until then only.

        All are on the disk and in the tables when this returns: whatever happens to the
        process from then on, they will be read.
        """
        documents, kept = [], []
        # One queue for all tenants, whose rows this one must not see.
        with self._everything.read() as session:
            if store.count_waiting(session) + len(uploads) > self._most_waiting:
                raise QueueFull
        incoming.sync()
        with self._database.write(reader.tenant_id) as session:
            shelf = writable(session, reader, collection)
            if replace:
                take_turns(session, f"names in {shelf.id}")
            for upload in uploads:
                # The table decides which bytes are new: two requests may bring the same.
                row = _row(reader, upload, shelf, title, metadata)
                if store.add(session, row):
                    kept.append(upload.blob)
                else:
                    row = store.with_bytes(session, shelf.id, upload.sha256)
                    if row.status == "failed":
                        queue.read_anew(row)
                if password is not None and row.status == "queued" and is_lockable(upload):
                    row.sealed_password = self._seal.close(password)
                if replace and row.filename == upload.filename:
                    _replace_namesakes(session, row)
                documents.append(_seen(row))
        for blob in kept:
            incoming.keep(blob)
        # Once for each, so that several readers hear of what came together.
        for _ in documents:
            self._wake()
        return documents, bool(kept)

    def page(
        self,
        reader: Reader,
        *,
        collection: str | None,
        status: Status | None,
        containing: str | None,
        before: str | None,
        limit: int,
    ) -> tuple[list[Document], str | None]:
        """The newest first."""
        with self._database.read(reader.tenant_id) as session:
            within = None if collection is None else [found(session, reader, collection).id]
            rows = store.page(
                session,
                reader.tenant_id,
                reader.user_id,
                collections=within,
                status=status,
                containing=containing,
                before=before,
                limit=limit + 1,
            )
            shown, cursor = cut_page(rows, limit, lambda row: (row.id,))
            return [_seen(row) for row in shown], cursor

    def find(self, reader: Reader, document_id: str) -> Document:
        with self._database.read(reader.tenant_id) as session:
            return _seen(_readable(session, reader, document_id))

    def wait(self, reader: Reader, ids: Sequence[str], seconds: float) -> list[Document]:
        """The documents once all are read, or as they are after *seconds*."""
        end = time.monotonic() + seconds
        while True:
            with standing(None):  # again and again: no part of a trace
                documents = [self.find(reader, each) for each in ids]
            if all(each.is_done for each in documents) or time.monotonic() >= end:
                return documents
            threading.Event().wait(_LOOK_AGAIN_SECONDS)

    def change(
        self,
        reader: Reader,
        document_id: str,
        *,
        title: str | None,
        metadata: Mapping[str, Any] | None,
        collection: str | None,
    ) -> Document:
        """Change what is given. A new title or place is a reason to read the document again."""
        with self._database.write(reader.tenant_id) as session:
            row = _changeable(session, reader, document_id)
            if metadata is not None:
                row.attributes = dict(metadata)
                changes.note(session, row.collection_id, row.id)
            if title is not None and title != row.title:
                row.title, row.title_given = title, True
                queue.read_anew(row)
            if collection is not None:
                self._move(session, reader, row, collection)
            changed = _seen(row)
        self._wake()
        return changed

    def delete(self, reader: Reader, document_id: str) -> None:
        with self._database.write(reader.tenant_id) as session:
            store.remove(session, _changeable(session, reader, document_id))
        self._wake()

    def reindex(self, reader: Reader, document_id: str) -> Document:
        """Index the document anew from the text that is kept, or read a failed one again.

        Its present passages stay until the new ones are there.
        """
        with self._database.write(reader.tenant_id) as session:
            row = _changeable(session, reader, document_id)
            queue.read_anew(row)
            queued = _seen(row)
        self._wake()
        return queued

    def content(self, reader: Reader, document_id: str) -> tuple[Document, Path]:
        with self._database.read(reader.tenant_id) as session:
            row = _readable(session, reader, document_id)
            return _seen(row), self._blobs.path(row.blob)

    def passages(
        self, reader: Reader, document_id: str, after: int, limit: int
    ) -> tuple[list[Passage], str | None]:
        with self._database.read(reader.tenant_id) as session:
            row = _readable(session, reader, document_id)
            rows = chunk_store.page(session, row.id, row.generation, after, limit + 1)
            shown, cursor = cut_page(rows, limit, lambda row: (str(row.ordinal),))
            return [
                Passage(c.id, c.ordinal, c.page, c.start, c.end, c.section, c.text) for c in shown
            ], cursor

    def text(self, reader: Reader, document_id: str) -> list[TextPage]:
        with self._database.read(reader.tenant_id) as session:
            row = _readable(session, reader, document_id)
            pages = store.text_pages(session, row.id, row.generation)
            return [TextPage(page.number, page.start, page.text) for page in pages]

    def _move(self, session: Session, reader: Reader, row: DocumentRow, collection: str) -> None:
        shelf = found(session, reader, collection)
        ensure_writable(reader, shelf)
        if shelf.id == row.collection_id:
            return
        session.add(RemovalRow(collection_id=row.collection_id, document_id=row.id))
        store.forget_again_later(session, row)
        # In the order of their ids: two moves in opposite directions must not wait for another.
        for collection_id in sorted((row.collection_id, shelf.id)):
            changes.note(session, collection_id, row.id)
        store.move(session, row, shelf)
        queue.read_anew(row)


def _row(
    reader: Reader,
    upload: Upload,
    shelf: CollectionRow,
    title: str | None,
    metadata: Mapping[str, Any],
) -> DocumentRow:
    row = DocumentRow(
        collection=shelf,
        tenant_id=reader.tenant_id,
        owner_id=reader.user_id,
        filename=upload.filename,
        title=title or PurePath(upload.filename).stem,
        title_given=title is not None,
        content_type=upload.content_type,
        size_bytes=upload.size_bytes,
        sha256=upload.sha256,
        blob=upload.blob,
        attributes=dict(metadata),
    )
    queue.note_asker(row)
    return row


def _replace_namesakes(session: Session, row: DocumentRow) -> None:
    """Have *row* take the place of the others of its name, once it is ready."""
    others = store.namesakes(session, row)
    for other in others:
        # Of two that came to replace each other, the one that was sent last stays.
        other.replaces = [each for each in other.replaces if each != row.id]
        if row.status == "ready":
            store.remove(session, other)
    row.replaces = [other.id for other in others]


def _readable(session: Session, reader: Reader, document_id: str) -> DocumentRow:
    row = store.find(session, reader.tenant_id, reader.user_id, document_id)
    if row is None:
        raise DocumentNotFound
    return row


def _changeable(session: Session, reader: Reader, document_id: str) -> DocumentRow:
    row = _readable(session, reader, document_id)
    ensure_writable(reader, row.collection)
    return row


def _seen(row: DocumentRow) -> Document:
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
    )
