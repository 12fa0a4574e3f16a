"""What keyword indexes open from: the words of documents, counted when they were read."""

from collections.abc import Iterator

from backend.chassis.database.sessions import Database
from backend.services.rag.domain.chunking import TokenSpans, indexed
from backend.services.rag.store import changes
from backend.services.rag.store import chunks as chunk_store
from backend.services.rag.store import postings as store
from backend.services.rag.store.keywords import Update
from backend.services.rag.store.postings import Postings


class WordCounts:
    """Tells an index how to come from one version of a collection to the present one."""

    def __init__(self, database: Database, spans: TokenSpans) -> None:
        """*database* over all tenants: an index is asked for by those who may read it."""
        self._database = database
        self._spans = spans

    def update(self, collection_id: str, version: int | None) -> Update:
        if version is not None:
            with self._database.read() as session:
                since = changes.since(session, collection_id, version)
                if since is not None:
                    changed = {document_id for _, document_id in since}
                    shown = list(store.shown(session, collection_id, sorted(changed)))
                    return Update(since[-1][0] if since else version, changed, shown)
        self._count_missing(collection_id)
        with self._database.read() as session:
            latest = changes.version_of(session, collection_id)
        return Update(latest, None, self._all(collection_id))

    def _all(self, collection_id: str) -> Iterator[Postings]:
        with self._database.read() as session:
            yield from store.shown(session, collection_id)

    def _count_missing(self, collection_id: str) -> None:
        """What was read before words were counted, or when they were counted otherwise."""
        with self._database.read() as session:
            missing = store.uncounted(session, collection_id)
        for document_id, generation in missing:
            with self._database.write() as session:
                passages = chunk_store.titled(session, document_id, generation)
                texts = [indexed(*each, self._spans) for each in passages]
                store.keep(session, store.counted(document_id, generation, texts))
