"""Reading a document: extract, cut up, embed, index, show."""

import logging
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from time import monotonic, time

from backend.chassis.database import Database, Session
from backend.chassis.embedding import Embedder
from backend.services.rag.clients.extraction import Extracted, Extractor
from backend.services.rag.clients.formats.kinds import CONTENT_TYPES
from backend.services.rag.domain.chunking import Chunk, Section, chunk, indexed
from backend.services.rag.domain.uploads import Blobs
from backend.services.rag.errors import ExtractionFailed
from backend.services.rag.store import chunks as chunk_store
from backend.services.rag.store import documents as store
from backend.services.rag.store.chunks import ChunkRow
from backend.services.rag.store.documents import DocumentRow, PageRow
from backend.services.rag.store.keywords import Entry, KeywordIndexes
from backend.services.rag.store.vectors import VectorStore

_log = logging.getLogger(__name__)
MOST_ATTEMPTS = 3
_EMBED_AT_ONCE = 32
_PROGRESS_SECONDS = 0.3
_REMOVALS_AT_ONCE = 100
# Bytes that no document points to may be those of a request still under way.
_STRAY_SECONDS = 3600
_KINDS = {name: kind for kind, name in CONTENT_TYPES.items()}


class Abandoned(Exception):
    """The document was deleted, moved or put back while it was read."""


class Stopped(Exception):
    """The service is going down."""


@dataclass(frozen=True, slots=True)
class Job:
    """One reading of one document, filling the generation after the present one."""

    claim: str
    document_id: str
    tenant_id: str
    collection_id: str
    generation: int
    content_type: str
    blob: str
    title: str
    title_given: bool


class Ingestion:
    """Reads what is queued, one document at a time."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        extractor: Extractor,
        embedder: Embedder,
        vectors: VectorStore,
        keywords: KeywordIndexes,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._extractor = extractor
        self._embedder = embedder
        self._vectors = vectors
        self._keywords = keywords
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let go of what is being read; it will be read again at the next start."""
        self._stopping.set()
        self._extractor.stop()

    def recover(self) -> None:
        """Put back what the end of an earlier process interrupted, and clear away its rests."""
        with self._database.write() as session:
            for row in store.interrupted(session):
                if row.attempts >= MOST_ATTEMPTS:
                    store.give_up(row, "gave_up", "Reading this was interrupted again and again.")
                else:
                    store.read_again(row, row.attempts)
        with self._database.read() as session:
            known = store.blobs(session)
        self._blobs.delete_strays(known, older_than=time() - _STRAY_SECONDS)

    def step(self) -> bool:
        """Clear away what was deleted and read one document; False if there was nothing to do."""
        cleared = self._clear_away()
        job = self._claim()
        if job is None:
            return cleared
        try:
            self._read(job)
        except ExtractionFailed as failure:
            # Stopping kills the extraction process, which is no fault of the file.
            if self._stopping.is_set():
                self._put_back(job)
            else:
                self._give_up(job, failure.code, str(failure))
        except Abandoned:
            _log.info("document %s was taken away while it was read", job.document_id)
        except Stopped:
            self._put_back(job)
        except Exception:  # noqa: BLE001 - one document must not stop the queue
            _log.exception("reading document %s failed", job.document_id)
            self._try_again(job)
        return True

    def _claim(self) -> Job | None:
        with self._database.write() as session:
            row = store.claim(session)
            if row is None:
                return None
            return Job(
                claim=str(row.claim),
                document_id=row.id,
                tenant_id=row.tenant_id,
                collection_id=row.collection_id,
                generation=row.generation + 1,
                content_type=row.content_type,
                blob=row.blob,
                title=row.title,
                title_given=row.title_given,
            )

    def _read(self, job: Job) -> None:
        self._forget_unfinished(job)
        progress = _Progress(self._database, job, self._stopping)
        extracted = self._extractor.extract(
            self._blobs.path(job.blob),
            _KINDS[job.content_type],
            lambda done, total: progress.report("extracting", done, total),
        )
        title = job.title if job.title_given else extracted.title or job.title
        chunks = self._chunks(job, extracted)
        self._keep_text(job, extracted, chunks)
        spans = self._embedder.tokens.spans
        entries = [
            Entry(row.id, job.document_id, indexed(title, row.section, row.text, spans))
            for row in chunks
        ]
        for start in range(0, len(entries), _EMBED_AT_ONCE):
            progress.report("embedding", start, len(entries))
            part = entries[start : start + _EMBED_AT_ONCE]
            rows = self._embedder.encode([entry.text for entry in part])
            ids = [entry.chunk_id for entry in part]
            self._vectors.add(job.collection_id, job.document_id, job.generation, ids, rows)
        self._show(job, title, extracted, len(chunks))
        self._keywords.replace(job.collection_id, job.document_id, entries)
        self._vectors.forget(job.collection_id, job.document_id, but_generation=job.generation)

    def _chunks(self, job: Job, extracted: Extracted) -> list[ChunkRow]:
        text = "".join(extracted.pages)
        sections = [Section(*heading) for heading in extracted.headings]
        found = chunk(text, self._embedder.tokens.spans, sections)
        if not found:
            raise ExtractionFailed("no_text", "No text was found; pictures of text are not read.")
        starts = page_starts(extracted.pages)
        return [
            _chunk_row(job, ordinal, each, text, starts if extracted.paged else None)
            for ordinal, each in enumerate(found)
        ]

    def _keep_text(self, job: Job, extracted: Extracted, chunks: Sequence[ChunkRow]) -> None:
        starts = page_starts(extracted.pages)
        with self._database.write(job.tenant_id) as session:
            _claimed(session, job)
            session.add_all(
                PageRow(
                    document_id=job.document_id,
                    generation=job.generation,
                    number=number,
                    start=start,
                    text=text,
                )
                for number, (start, text) in enumerate(
                    zip(starts, extracted.pages, strict=True), start=1
                )
            )
            session.add_all(chunks)
            session.flush()
            session.expunge_all()  # their texts are used on, outside of this session

    def _show(self, job: Job, title: str, extracted: Extracted, chunks: int) -> None:
        with self._database.write(job.tenant_id) as session:
            row = _claimed(session, job)
            row.status = row.stage = "ready"
            row.claim = None
            row.done = row.total = row.chunks = chunks
            row.pages = len(extracted.pages) if extracted.paged else None
            row.title = title
            row.generation = job.generation
            session.flush()
            chunk_store.drop(session, job.document_id, job.generation)
            store.drop_pages(session, job.document_id, job.generation)

    def _forget_unfinished(self, job: Job) -> None:
        """What an interrupted reading left behind, beside the generation that is shown."""
        current = job.generation - 1
        with self._database.write(job.tenant_id) as session:
            chunk_store.drop(session, job.document_id, current)
            store.drop_pages(session, job.document_id, current)
        self._vectors.forget(job.collection_id, job.document_id, but_generation=current)

    def _give_up(self, job: Job, code: str, detail: str) -> None:
        with self._database.write(job.tenant_id) as session:
            row = store.claimed(session, job.claim)
            if row is not None:
                store.give_up(row, code, detail)

    def _put_back(self, job: Job) -> None:
        with self._database.write(job.tenant_id) as session:
            row = store.claimed(session, job.claim)
            if row is not None:
                store.read_again(row, row.attempts - 1)

    def _try_again(self, job: Job) -> None:
        with self._database.write(job.tenant_id) as session:
            row = store.claimed(session, job.claim)
            if row is None:
                return
            if row.attempts >= MOST_ATTEMPTS:
                store.give_up(row, "internal_error", "Something went wrong while reading this.")
            else:
                store.read_again(row, row.attempts)

    def _clear_away(self) -> bool:
        with self._database.read() as session:
            removals = [
                (row.id, row.collection_id, row.document_id, row.blob)
                for row in store.removals(session, _REMOVALS_AT_ONCE)
            ]
        for _, collection_id, document_id, blob in removals:
            if document_id is None:
                self._vectors.drop(collection_id)
                self._keywords.drop(collection_id)
            else:
                self._vectors.forget(collection_id, document_id)
                self._keywords.forget(collection_id, document_id)
            if blob is not None:
                self._blobs.delete(blob)
        with self._database.write() as session:
            store.drop_removals(session, [removal[0] for removal in removals])
        return bool(removals)


def indexed_passages(database: Database, embedder: Embedder, collection_id: str) -> Iterator[Entry]:
    """All passages of a collection as an index sees them."""
    with database.read() as session:
        for row in chunk_store.in_collection(session, collection_id):
            text = indexed(row.title, row.section, row.text, embedder.tokens.spans)
            yield Entry(row.id, row.document_id, text)


class _Progress:
    """Writes down how far a reading is, now and then, and ends it where it is pointless."""

    def __init__(self, database: Database, job: Job, stopping: threading.Event) -> None:
        self._database = database
        self._job = job
        self._stopping = stopping
        self._last = 0.0

    def report(self, stage: str, done: int, total: int) -> None:
        if self._stopping.is_set():
            raise Stopped
        if monotonic() - self._last < _PROGRESS_SECONDS:
            return
        self._last = monotonic()
        with self._database.write(self._job.tenant_id) as session:
            row = _claimed(session, self._job)
            row.stage, row.done, row.total = stage, done, total


def page_starts(pages: Sequence[str]) -> list[int]:
    """Where each page begins in the whole text."""
    return [0, *accumulate(len(page) for page in pages[:-1])] if pages else []


def _chunk_row(
    job: Job, ordinal: int, found: Chunk, text: str, starts: Sequence[int] | None
) -> ChunkRow:
    return ChunkRow(
        id=f"chk_{job.document_id.partition('_')[2]}.{job.generation}.{ordinal}",
        document_id=job.document_id,
        generation=job.generation,
        ordinal=ordinal,
        page=bisect_right(starts, found.start) if starts else None,
        start=found.start,
        end=found.end,
        section=found.section,
        text=text[found.start : found.end],
    )


def _claimed(session: Session, job: Job) -> DocumentRow:
    row = store.claimed(session, job.claim)
    if row is None:
        raise Abandoned
    return row
