"""The way of one document from bytes to passages: extract, cut up, embed, index, show."""

import threading
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from time import monotonic

from backend.ai.embedding import Embedder
from backend.chassis.database.sessions import Database, Session
from backend.chassis.encryption import BrokenSeal, Seal
from backend.chassis.observability.tracing import span
from backend.services.rag.clients.extraction import Extracted, Extractor
from backend.services.rag.clients.formats.kinds import CONTENT_TYPES
from backend.services.rag.clients.measures import Measures
from backend.services.rag.domain.chunking import Chunk, Section, chunk, indexed
from backend.services.rag.domain.dense import DenseIndex
from backend.services.rag.domain.queue import Job
from backend.services.rag.domain.uploads import Blobs
from backend.services.rag.errors import ExtractionFailed
from backend.services.rag.store import changes, postings
from backend.services.rag.store import chunks as chunk_store
from backend.services.rag.store import documents as document_store
from backend.services.rag.store import queue as store
from backend.services.rag.store.chunks import ChunkRow, chunk_id
from backend.services.rag.store.documents import DocumentRow, PageRow
from backend.services.rag.store.postings import Postings, counted

# What one transaction of the vector index takes: small enough for signs of progress, and to
# lose little when all ends in the middle.
EMBED_AT_ONCE = 64
_PROGRESS_SECONDS = 0.3
_KINDS = {name: kind for kind, name in CONTENT_TYPES.items()}


class Abandoned(Exception):
    """The document was deleted, moved or put back while it was read."""


class Stopped(Exception):
    """The process is going down."""


class Reading:
    """Reads one document; what is kept of an interrupted reading is not done again."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        extractor: Extractor,
        embedder: Embedder,
        dense: DenseIndex,
        seal: Seal,
        measures: Measures | None = None,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._extractor = extractor
        self._embedder = embedder
        self._dense = dense
        self._seal = seal
        self._measures = measures or Measures()

    def read(self, job: Job, until: float, hurdle: "Hurdle") -> bool:
        """Whether it is done; False if the time was up with passages left to index.

        *until* is a time of the monotonic clock.
        """
        progress = _Progress(self._database, job, hurdle)
        if job.indexed is None:
            self._forget_unfinished(job)
            title = self._cut_again(job) if job.shown else self._extract(job, progress)
        else:
            title = job.title
        texts = self._texts(job, title)
        for start in range(job.indexed or 0, len(texts), EMBED_AT_ONCE):
            part = texts[start : start + EMBED_AT_ONCE]
            hurdle.check()
            done = start + len(part)
            ids = [chunk_id(job.document_id, job.generation, at) for at in range(start, done)]
            place = job.collection_id, job.document_id, job.generation
            with span("embed", attributes={"rag.passages": len(part)}):
                self._dense.add(*place, ids, part, first=start)
            if done < len(texts):
                progress.indexed(done, len(texts))
                if monotonic() > until:
                    return False
        progress.report("indexing", len(texts), len(texts))
        with span("index", attributes={"rag.passages": len(texts)}):
            self._show(job, len(texts), counted(job.document_id, job.generation, texts))
        return True

    def cancel(self, job: Job) -> None:
        """End the extraction of *job* if one is under way."""
        self._extractor.cancel(self._blobs.path(job.blob))

    def stop(self) -> None:
        """End every extraction, now and from now on."""
        self._extractor.stop()

    def _extract(self, job: Job, progress: "_Progress") -> str:
        with (
            self._measures.stage("extracting"),
            span("extract", attributes={"rag.document.type": job.content_type}) as extracting,
        ):
            extracted = self._extractor.extract(
                self._blobs.path(job.blob),
                _KINDS[job.content_type],
                lambda done, total: progress.report("extracting", done, total),
                self._password(job),
            )
            extracting.set({"rag.pages": len(extracted.pages)})
        progress.report("chunking", 0, 0)
        title = job.title if job.title_given else extracted.title or job.title
        chunks = self._chunks(job, extracted.pages, extracted.headings, is_paged=extracted.paged)
        with self._database.write(job.tenant_id) as session:
            row = _claimed(session, job)
            row.title = title
            row.sealed_password = None
            row.pages = len(extracted.pages) if extracted.paged else None
            session.add_all(_page_rows(job, extracted))
            self._keep(session, row, chunks)
        return title

    def _password(self, job: Job) -> str | None:
        try:
            return self._seal.open(job.sealed_password) if job.sealed_password else None
        except BrokenSeal:
            # The suite has another secret by now; its owner is asked for the password again.
            return None

    def _cut_again(self, job: Job) -> str:
        """From the text that is kept: nothing is read from the file twice."""
        with self._database.read(job.tenant_id) as session:
            rows = document_store.text_pages(session, job.document_id, job.shown)
            pages = [row.text for row in rows]
            headings = [(at, title) for row in rows for at, title in row.headings or ()]
        chunks = self._chunks(job, pages, headings, is_paged=job.pages is not None)
        with self._database.write(job.tenant_id) as session:
            row = _claimed(session, job)
            document_store.copy_pages(session, job.document_id, job.shown, job.generation)
            self._keep(session, row, chunks)
        return job.title

    def _chunks(
        self,
        job: Job,
        pages: Sequence[str],
        headings: Sequence[tuple[int, str]],
        *,
        is_paged: bool,
    ) -> list[ChunkRow]:
        text = "".join(pages)
        with (
            self._measures.stage("chunking"),
            span("chunk", attributes={"rag.characters": len(text)}),
        ):
            found = chunk(text, self._embedder.tokens.spans, [Section(*each) for each in headings])
        if not found:
            raise ExtractionFailed("no_text", "No text was found in this file.")
        starts = page_starts(pages) if is_paged else None
        return [_chunk_row(job, number, each, text, starts) for number, each in enumerate(found)]

    def _keep(self, session: Session, row: DocumentRow, chunks: Sequence[ChunkRow]) -> None:
        row.stage, row.done, row.total, row.indexed = "embedding", 0, len(chunks), 0
        session.add_all(chunks)

    def _texts(self, job: Job, title: str) -> list[str]:
        """The passages as the indexes see them."""
        spans = self._embedder.tokens.spans
        with self._database.read(job.tenant_id) as session:
            rows = chunk_store.of_generation(session, job.document_id, job.generation)
            return [indexed(title, row.section, row.text, spans) for row in rows]

    def _show(self, job: Job, chunks: int, words: Postings) -> None:
        with self._database.write(job.tenant_id) as session:
            row = _claimed(session, job)
            row.status = row.stage = "ready"
            row.claim = row.indexed = None
            row.attempts = 0
            row.done = row.total = row.chunks = chunks
            row.generation = job.generation
            session.flush()
            postings.keep(session, words)
            postings.drop(session, job.document_id, job.generation)
            changes.note(session, job.collection_id, job.document_id)
            chunk_store.drop(session, job.document_id, job.generation)
            document_store.drop_pages(session, job.document_id, job.generation)
            if job.shown:
                document_store.forget_earlier(session, row)
            for earlier in document_store.replaced_by(session, row):
                document_store.remove(session, earlier)

    def _forget_unfinished(self, job: Job) -> None:
        """What an interrupted reading left behind, beside the generation that is shown."""
        with self._database.write(job.tenant_id) as session:
            chunk_store.drop(session, job.document_id, job.shown)
            document_store.drop_pages(session, job.document_id, job.shown)
        self._dense.forget(job.collection_id, job.document_id, but_generation=job.shown)


class Hurdle:
    """What may come between a reading and its end; set from other threads."""

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping
        self._lost = threading.Event()

    def lose(self) -> None:
        self._lost.set()

    def check(self) -> None:
        if self._lost.is_set():
            raise Abandoned
        if self._stopping.is_set():
            raise Stopped


class _Progress:
    """Writes down how far a reading is, now and then, and ends it where it is pointless."""

    def __init__(self, database: Database, job: Job, hurdle: Hurdle) -> None:
        self._database = database
        self._job = job
        self._hurdle = hurdle
        self._last = monotonic()

    def report(self, stage: str, done: int, total: int) -> None:
        self._hurdle.check()
        if monotonic() - self._last < _PROGRESS_SECONDS:
            return
        self._last = monotonic()
        with self._database.write(self._job.tenant_id) as session:
            row = _claimed(session, self._job)
            row.stage, row.done, row.total = stage, done, total

    def indexed(self, done: int, total: int) -> None:
        """Note what stands in the vector index: a later reading goes on from there."""
        with self._database.write(self._job.tenant_id) as session:
            row = _claimed(session, self._job)
            row.done, row.total, row.indexed = done, total, done
            row.attempts = 1  # it gets on, so what interrupted it before was not its fault


def page_starts(pages: Sequence[str]) -> list[int]:
    """Where each page begins in the whole text."""
    return [0, *accumulate(len(page) for page in pages[:-1])] if pages else []


def _page_rows(job: Job, extracted: Extracted) -> list[PageRow]:
    starts = page_starts(extracted.pages)
    headings: list[list[tuple[int, str]]] = [[] for _ in starts]
    for heading in extracted.headings:
        headings[bisect_right(starts, heading[0]) - 1].append(heading)
    return [
        PageRow(
            document_id=job.document_id,
            generation=job.generation,
            number=index + 1,
            start=starts[index],
            text=extracted.pages[index],
            headings=headings[index],
        )
        for index in range(len(starts))
    ]


def _chunk_row(
    job: Job, ordinal: int, found: Chunk, text: str, starts: Sequence[int] | None
) -> ChunkRow:
    return ChunkRow(
        id=chunk_id(job.document_id, job.generation, ordinal),
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
