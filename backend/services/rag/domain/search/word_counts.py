"""Word counts of documents, from which keyword indexes are built and updated."""

from collections.abc import Iterator

from backend.chassis.database.sessions import Database, Session
from backend.services.rag.domain.ingestion.chunking import TokenSpanFinder, build_index_text
from backend.services.rag.store import chunks as chunk_store
from backend.services.rag.store import collection_changes
from backend.services.rag.store.keyword_index import postings as store
from backend.services.rag.store.keyword_index.index import IndexUpdate
from backend.services.rag.store.keyword_index.postings import Postings

# Documents that are counted again between two looks at the stop signal.
_RECOUNT_BATCH = 20


class WordCounts:
    """Source of updates for keyword indexes. Words are counted when a document is ingested."""

    def __init__(self, database: Database, find_token_spans: TokenSpanFinder) -> None:
        """*database* sees all tenants' rows; the caller checks access to the collections."""
        self._database = database
        self._find_token_spans = find_token_spans

    def load_index_update(self, collection_id: str, version: int | None) -> IndexUpdate:
        """Return the changes from *version* to the latest version of the collection.

        Without *version*, or if its changes are no longer recorded, the update contains the
        complete collection.
        """
        if version is not None:
            with self._database.read() as session:
                changes = collection_changes.list_changes_since(session, collection_id, version)
                if changes is not None:
                    changed_ids = {document_id for _, document_id in changes}
                    postings = list(
                        store.iterate_postings(session, collection_id, sorted(changed_ids))
                    )
                    latest = changes[-1][0] if changes else version
                    return IndexUpdate(latest, changed_ids, postings)
        self._count_missing_words(collection_id)
        with self._database.read() as session:
            latest = collection_changes.get_version(session, collection_id)
        return IndexUpdate(latest, None, self._iterate_postings(collection_id))

    def _iterate_postings(self, collection_id: str) -> Iterator[Postings]:
        with self._database.read() as session:
            yield from store.iterate_postings(session, collection_id)

    def _count_missing_words(self, collection_id: str) -> None:
        """Count words of documents whose counts are missing or were made by an older method."""
        with self._database.read() as session:
            missing = store.list_unindexed_documents(session, collection_id)
        for document_id, generation in missing:
            with self._database.write() as session:
                self._count_words(session, document_id, generation)

    def recount_time_slice(self) -> bool:
        """Count the words of a few documents again whose counts are of an older version.

        Searches find them by their old counts meanwhile.

        Returns:
            True if there may be more such documents.
        """
        with self._database.read() as session:
            outdated = store.list_outdated_documents(session, _RECOUNT_BATCH)
        for collection_id, document_id, generation in outdated:
            with self._database.write() as session:
                self._count_words(session, document_id, generation)
                collection_changes.record_change(session, collection_id, document_id)
        return bool(outdated)

    def has_outdated_documents(self) -> bool:
        """Return True if word counts of an older version wait for `recount_time_slice`."""
        with self._database.read() as session:
            return bool(store.list_outdated_documents(session, 1))

    def _count_words(self, session: Session, document_id: str, generation: int) -> None:
        chunks = chunk_store.list_titled_chunks(session, document_id, generation)
        texts = [
            build_index_text(title, section, text, self._find_token_spans, table_header)
            for title, section, text, table_header in chunks
        ]
        store.save_postings(session, store.build_postings(document_id, generation, texts))
