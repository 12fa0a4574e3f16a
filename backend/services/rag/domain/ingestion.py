"""Work on the queue: clear away what is gone, read what is next, and judge how that went."""

import logging
import threading
from datetime import datetime
from time import monotonic, time

from backend.chassis.database.sessions import Database
from backend.chassis.observability.tracing import Kind, Value, read_place, span, standing
from backend.security.http_errors import working_for
from backend.services.rag.clients.measures import Measures, QueueState
from backend.services.rag.domain.dense import DenseIndex
from backend.services.rag.domain.heartbeat import beating
from backend.services.rag.domain.queue import Job, Queue
from backend.services.rag.domain.reading import Abandoned, Hurdle, Reading, Stopped
from backend.services.rag.domain.uploads import Blobs
from backend.services.rag.errors import ExtractionFailed
from backend.services.rag.store import documents as document_store
from backend.services.rag.store import queue as store
from backend.services.rag.store.base import utc_now
from backend.services.rag.store.faults import is_passing

_log = logging.getLogger(__name__)
# A document that takes longer is put aside, so that others have their turn.
TURN_SECONDS = 20.0
# With the pauses between them: about three quarters of an hour.
MOST_PASSING_FAULTS = 12
MOST_FAULTS = 3
_REMOVALS_AT_ONCE = 100
# Bytes that no document points to may be those of a request still under way.
_STRAY_SECONDS = 3600


class Ingestion:
    """Reads what is queued. Any number of threads and processes may do so at once."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        reading: Reading,
        dense: DenseIndex,
        *,
        longest_seconds: float,
        measures: Measures | None = None,
    ) -> None:
        """*database* sees all tenants' rows; a turn over *longest_seconds* is stuck."""
        self._database = database
        self._blobs = blobs
        self._reading = reading
        self._dense = dense
        self._longest_seconds = longest_seconds
        self._queue = Queue(database)
        self._measures = measures or Measures()
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let go of what is being read; it will be read on by others, or at the next start."""
        self._stopping.set()
        self._reading.stop()

    def recover(self) -> None:
        """Take up what silent readers left."""
        self._queue.recover()

    def clear_strays(self) -> None:
        """Delete the files that a killed process wrote and no document points to."""
        with self._database.read() as session:
            known = document_store.blobs(session)
        self._blobs.delete_strays(known, older_than=time() - _STRAY_SECONDS)

    def is_due(self) -> bool:
        """Whether a document waits that may be read now."""
        return self._queue.is_due()

    def last_heartbeat(self) -> datetime | None:
        """When anybody who reads last gave a sign of life."""
        return self._queue.last_heartbeat()

    def queue_state(self) -> QueueState:
        """How many documents wait, are read, and are ready, of all tenants."""
        return self._queue.state()

    def step(self) -> bool:
        """Clear away what was deleted and read one document, or a part of a long one.

        False if there was nothing to do.
        """
        # Not while a backup is taken, which may know of what was deleted a moment ago.
        with self._blobs.clearing() as may:
            cleared = may and self._clear_away()
        job = None if self._stopping.is_set() else self._queue.take()
        if job is None:
            return cleared
        with (
            working_for(job.request_id),
            standing(read_place(job.traceparent or "")),
            span("process rag.reading", Kind.CONSUMER, _told(job)),
        ):
            self._take_turn(job)
        return True

    def _take_turn(self, job: Job) -> None:
        began = monotonic()
        hurdle = Hurdle(self._stopping)

        def lost() -> None:
            hurdle.lose()
            self._reading.cancel(job)

        try:
            with beating(self._queue, job.claim, self._longest_seconds, on_lost=lost):
                done = self._reading.read(job, began + TURN_SECONDS, hurdle)
        except ExtractionFailed as failure:
            self._judge(job, failure, hurdle)
        except Abandoned:
            _log.info("document %s was taken away while it was read", job.document_id)
        except Stopped:
            self._queue.hand_back(job)
        except Exception as fault:  # noqa: BLE001 - one document must not stop the queue
            self._try_again(job, fault)
        else:
            if done:
                self._measures.read("ready")
                _log.info("document %s is ready after %.2f s", job.document_id, monotonic() - began)
            else:
                self._queue.hand_back(job)

    def _judge(self, job: Job, failure: ExtractionFailed, hurdle: Hurdle) -> None:
        """A file is at fault, unless it was us who ended the process that read it."""
        try:
            hurdle.check()
        except Abandoned:
            _log.info("document %s was taken away while its text was read", job.document_id)
        except Stopped:
            self._queue.hand_back(job)
        else:
            _log.info("document %s failed: %s", job.document_id, failure.code)
            self._give_up(job, failure.code, str(failure))

    def _try_again(self, job: Job, fault: Exception) -> None:
        if is_passing(fault):
            _log.warning(
                "document %s is put off: %s: %s", job.document_id, type(fault).__name__, fault
            )
            if job.attempts < MOST_PASSING_FAULTS:
                self._try_later(job, "unavailable")
            else:
                self._give_up(
                    job,
                    "unavailable",
                    "A store or model that reading needs was away for too long. "
                    "Have the document indexed again when it is back.",
                )
            return
        _log.error("reading document %s failed", job.document_id, exc_info=fault)
        if job.attempts < MOST_FAULTS:
            self._try_later(job, "internal_error")
        else:
            self._give_up(job, "internal_error", "Something went wrong while reading this.")

    def _try_later(self, job: Job, error: str) -> None:
        self._measures.read("put_off", error)
        self._queue.try_later(job)

    def _give_up(self, job: Job, code: str, detail: str) -> None:
        self._measures.read("failed", code)
        self._queue.give_up(job, code, detail)

    def _clear_away(self) -> bool:
        with self._database.read() as session:
            removals = [
                (row.id, row.collection_id, row.document_id, row.but_generation, row.blob)
                for row in store.removals(session, utc_now(), _REMOVALS_AT_ONCE)
            ]
        if not removals:
            return False
        for _, collection_id, document_id, generation, blob in removals:
            if document_id is None:
                self._dense.drop(collection_id)
            elif generation is not None:
                self._forget_earlier(collection_id, document_id, generation)
            else:
                self._dense.forget(collection_id, document_id)
            if blob is not None:
                self._blobs.delete(blob)
        with self._database.write() as session:
            store.drop_removals(session, [removal[0] for removal in removals])
        return True

    def _forget_earlier(self, collection_id: str, document_id: str, generation: int) -> None:
        self._dense.forget(collection_id, document_id, but_generation=generation)
        with self._database.write() as session:
            # A newer reading that has begun meanwhile may have lost vectors by this.
            row = store.moved_on(session, document_id, generation)
            if row is not None:
                store.read_anew(row)


def _told(job: Job) -> dict[str, Value]:
    """The table is the queue; what Celery carries is only the word that something waits."""
    return {
        "messaging.system": "celery",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": "rag.reading",
        "messaging.message.id": job.document_id,
        "rag.document.id": job.document_id,
        "rag.reading.attempt": job.attempts,
    }
