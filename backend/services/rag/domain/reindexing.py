"""Index documents anew by the thousand, from the text that is kept of them."""

import time
from collections.abc import Callable
from time import monotonic

from backend.chassis.database.sessions import Database
from backend.services.rag.domain.ingestion import Ingestion
from backend.services.rag.domain.reembedding import Reembedding
from backend.services.rag.errors import CollectionNotFound
from backend.services.rag.store import collections as collection_store
from backend.services.rag.store import documents as document_store
from backend.services.rag.store import queue

_TELL_SECONDS = 2.0
_LOOK_AGAIN_SECONDS = 0.2
_MOMENT_SECONDS = 10.0

# Told with what is done and what there is to do.
Tell = Callable[[int, int], None]


def queue_all(database: Database, collection: str | None) -> int:
    """Have every document read anew, or those of the collections of that name or id; how many.

    Each goes on being found as it was until its new passages are there.
    """
    with database.write() as session:
        within = None
        if collection is not None:
            within = [row.id for row in collection_store.named(session, collection)]
            if not within:
                raise CollectionNotFound
        rows = document_store.indexed_in(session, within)
        for row in rows:
            queue.read_anew(row)
        return len(rows)


def work_off(
    database: Database, ingestion: Ingestion, reembedding: Reembedding, tell: Tell
) -> None:
    """Read and embed what waits, beside those who do so anyway, until nothing is left.

    What must wait longer than a moment, as after a fault, is left to the service.
    """
    total = left = _unread(database)
    changed = told = monotonic()
    while True:
        worked = ingestion.step()
        worked |= reembedding.step()
        before, left = left, _unread(database)
        if worked or left != before:
            changed = monotonic()
        if monotonic() - told > _TELL_SECONDS:
            told = monotonic()
            tell(max(0, total - left), max(total, left))
        if not worked and (not left or monotonic() - changed > _MOMENT_SECONDS):
            tell(max(0, total - left), max(total, left))
            return
        if not worked:
            time.sleep(_LOOK_AGAIN_SECONDS)


def _unread(database: Database) -> int:
    with database.read() as session:
        return document_store.count_unread(session)
