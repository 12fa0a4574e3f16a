"""Who reads which document: claims, signs of life, and second tries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.chassis.database.sessions import Database
from backend.services.rag.clients.measures import QueueState
from backend.services.rag.store import queue as store
from backend.services.rag.store.base import utc_now
from backend.services.rag.store.documents import LAPSE_SECONDS, DocumentRow

# Readings that end without a word, as when their process is killed.
MOST_INTERRUPTIONS = 5
_LONGEST_PAUSE_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Job:
    """One reading of one document, filling the generation after the one that is shown."""

    claim: str
    document_id: str
    tenant_id: str
    collection_id: str
    generation: int
    content_type: str
    blob: str
    pages: int | None
    title: str
    title_given: bool
    sealed_password: str | None
    # How many passages an interrupted reading has indexed; None where it kept no text.
    indexed: int | None
    attempts: int
    request_id: str | None
    traceparent: str | None

    @property
    def shown(self) -> int:
        """The generation that readers see; 0 while there is none."""
        return self.generation - 1


class Queue:
    """The documents that wait, of all tenants. Any number of processes may work on it."""

    def __init__(self, database: Database) -> None:
        """*database* sees all tenants' rows."""
        self._database = database

    def take(self) -> Job | None:
        """Claim the document whose turn it is."""
        if not self.is_due():  # a look is cheaper than a transaction that might write
            return None
        with self._database.write() as session:
            row = store.claim(session, utc_now())
            if row is None:
                return None
            if row.indexed is None:
                row.stage = "extracting" if row.generation == 0 else "chunking"
                row.done = row.total = 0
            return _job(row)

    def is_due(self) -> bool:
        with self._database.read() as session:
            return store.is_due(session, utc_now())

    def last_heartbeat(self) -> datetime | None:
        """When any reader gave its last sign of life."""
        with self._database.read() as session:
            return store.last_heartbeat(session)

    def state(self) -> QueueState:
        """How many documents wait, are read, and are ready, and for how long."""
        with self._database.read() as session:
            return QueueState(
                documents=store.by_status(session),
                waiting_since=store.waiting_since(session),
                last_heartbeat=store.last_heartbeat(session),
                now=utc_now(),
            )

    def beat(self, claims: Sequence[str]) -> set[str]:
        """Give a sign of life for *claims*; those that still hold."""
        with self._database.write() as session:
            return store.beat(session, claims, utc_now())

    def recover(self) -> None:
        """Have read on what silent readers left, or give it up when that happens every time."""
        silent_since = utc_now() - timedelta(seconds=LAPSE_SECONDS)
        with self._database.read() as session:
            if not store.lapsed(session, silent_since):
                return
        with self._database.write() as session:
            for row in store.lapsed(session, silent_since):
                if row.attempts >= MOST_INTERRUPTIONS:
                    store.give_up(row, "gave_up", "Reading this was interrupted again and again.")
                else:
                    store.release(row, not_before=_after_pause(row.attempts - 1))

    def hand_back(self, job: Job) -> None:
        """Have others go on with it when its turn comes again: nothing went wrong."""
        with self._database.write(job.tenant_id) as session:
            row = store.claimed(session, job.claim)
            if row is not None:
                row.attempts -= 1
                store.release(row)

    def try_later(self, job: Job) -> None:
        """Read on after a pause that grows with the attempts."""
        with self._database.write(job.tenant_id) as session:
            row = store.claimed(session, job.claim)
            if row is not None:
                store.release(row, not_before=_after_pause(row.attempts))

    def give_up(self, job: Job, code: str, detail: str) -> None:
        with self._database.write(job.tenant_id) as session:
            row = store.claimed(session, job.claim)
            if row is not None:
                store.give_up(row, code, detail)


def _after_pause(attempts: int) -> datetime | None:
    if attempts < 1:
        return None
    return utc_now() + timedelta(seconds=min(2.0 ** (attempts - 1), _LONGEST_PAUSE_SECONDS))


def _job(row: DocumentRow) -> Job:
    return Job(
        claim=str(row.claim),
        document_id=row.id,
        tenant_id=row.tenant_id,
        collection_id=row.collection_id,
        generation=row.generation + 1,
        content_type=row.content_type,
        blob=row.blob,
        pages=row.pages,
        title=row.title,
        title_given=row.title_given,
        sealed_password=row.sealed_password,
        indexed=row.indexed,
        attempts=row.attempts,
        request_id=row.request_id,
        traceparent=row.traceparent,
    )
