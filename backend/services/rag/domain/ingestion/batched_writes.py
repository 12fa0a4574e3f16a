"""Short transactions for long writes, so that other writers of the database need not wait long."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from time import monotonic, sleep
from typing import TypeVar

from backend.chassis.database.sessions import Database, Session
from backend.services.rag.store import chunks as chunk_store
from backend.services.rag.store import collections as collection_store
from backend.services.rag.store import documents as document_store
from backend.services.rag.store import sentence_vectors as sentence_vector_store
from backend.services.rag.store.keyword_index import postings as posting_store

# A transaction of this size takes about 20 ms on a disk from 2020.
MAX_ROWS = 250
MAX_CHARACTERS = 500_000
# SQLite allows one writer at a time, and other writers poll for the lock. Without a pause between
# the transactions they would hardly ever find the lock free.
_MAX_PAUSE_SECONDS = 0.05

_NO_GENERATION = -1

ItemT = TypeVar("ItemT")


def batch_by_size(
    items: Iterable[ItemT], count_characters: Callable[[ItemT], int]
) -> Iterator[list[ItemT]]:
    """Yield *items* in batches of up to MAX_ROWS, ended by the item that exceeds MAX_CHARACTERS."""
    batch: list[ItemT] = []
    characters = 0
    for item in items:
        batch.append(item)
        characters += count_characters(item)
        if len(batch) >= MAX_ROWS or characters > MAX_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def write_batches(
    database: Database,
    tenant_id: str | None,
    batches: Iterable[Sequence[ItemT]],
    write: Callable[[Session, Sequence[ItemT]], None],
) -> None:
    """Call *write* in a transaction for each batch, with pauses between the transactions."""
    previous_seconds = 0.0
    for batch in batches:
        sleep(min(previous_seconds, _MAX_PAUSE_SECONDS))
        started_at = monotonic()
        with database.write(tenant_id) as session:
            write(session, batch)
        previous_seconds = monotonic() - started_at


def delete_old_generations(
    database: Database,
    tenant_id: str | None,
    document_id: str,
    keep_generation: int,
    *,
    keep_newer: bool,
    check: Callable[[Session], object] = lambda _: None,
) -> None:
    """Delete the stored data of all generations of the document except *keep_generation*.

    Args:
        keep_newer: keep later generations, which another job may be writing.
        check: called first in each transaction; raises an error if nothing more may be deleted.
    """
    has_more = True
    while has_more:
        started_at = monotonic()
        with database.write(tenant_id) as session:
            check(session)
            key = session, document_id, keep_generation
            posting_store.delete_old_postings(*key, keep_newer=keep_newer)
            chunks = chunk_store.delete_old_chunks(*key, MAX_ROWS, keep_newer=keep_newer)
            pages = document_store.delete_old_pages(*key, MAX_ROWS, keep_newer=keep_newer)
            sentences = sentence_vector_store.delete_old_sentence_vectors(
                *key, MAX_ROWS, keep_newer=keep_newer
            )
            has_more = MAX_ROWS in (chunks, pages, sentences)
        if has_more:
            _pause(started_at)


def delete_hidden_collection(database: Database, collection_id: str) -> None:
    """Delete a hidden collection and its documents, if there is one with this id."""
    while True:
        with database.read() as session:
            found = document_store.find_document_in_hidden_collection(session, collection_id)
        if found is None:
            break
        document_id, blob = found
        delete_old_generations(database, None, document_id, _NO_GENERATION, keep_newer=False)
        started_at = monotonic()
        with database.write() as session:
            document_store.delete_row(session, document_id)
            # The file of a document that was deleted alone is already scheduled for removal.
            removal = document_store.RemovalRow(
                collection_id=collection_id, document_id=document_id, blob=blob
            )
            session.add(removal)
        _pause(started_at)
    with database.write() as session:
        collection_store.delete_hidden_collection(session, collection_id)


def _pause(started_at: float) -> None:
    sleep(min(monotonic() - started_at, _MAX_PAUSE_SECONDS))
