"""In-memory copy of the documents' attributes for search filters."""

import json
from collections.abc import Mapping
from typing import Any

from backend.chassis.database.sessions import Database
from backend.services.rag.domain.search.filters import Condition
from backend.services.rag.store import collection_changes
from backend.services.rag.store import documents as store
from backend.services.rag.store.versioned_cache import VersionedCache

# Size limit of the cache in characters of JSON. Python objects take several times as many bytes.
_MAX_CACHE_CHARS = 20_000_000
_DOCUMENT_OVERHEAD_CHARS = 300


class _CollectionAttributes:
    """Attributes of one collection's documents. Its length approximates the memory it uses."""

    def __init__(self) -> None:
        self._documents: dict[str, Mapping[str, Any]] = {}
        self._sizes: dict[str, int] = {}
        self._total_size = 0

    def __len__(self) -> int:
        return self._total_size

    def set_attributes(self, document_id: str, attributes: Mapping[str, Any]) -> None:
        self.remove_document(document_id)
        self._documents[document_id] = attributes
        self._sizes[document_id] = _DOCUMENT_OVERHEAD_CHARS + len(json.dumps(attributes))
        self._total_size += self._sizes[document_id]

    def remove_document(self, document_id: str) -> None:
        self._documents.pop(document_id, None)
        self._total_size -= self._sizes.pop(document_id, 0)

    def find_matching_documents(self, condition: Condition) -> set[str]:
        return {key for key, attributes in self._documents.items() if condition(attributes)}


class DocumentAttributes:
    """Attributes of documents by collection, kept up to date with the tables.

    They are the metadata plus document_id, filename and content_type. Metadata with one of these
    names does not override them.
    """

    def __init__(self, database: Database) -> None:
        """*database* sees all tenants' rows; the caller checks access to the collections."""
        self._database = database
        self._cache = VersionedCache(self._load_collection, _MAX_CACHE_CHARS)

    def find_matching_documents(
        self, collection_id: str, version: int, condition: Condition
    ) -> set[str]:
        """Return the ids of the documents that match *condition* at *version* or newer."""
        with self._cache.get(collection_id, version) as collection:
            return collection.find_matching_documents(condition)

    def _load_collection(
        self, collection_id: str, collection: _CollectionAttributes | None, version: int
    ) -> tuple[_CollectionAttributes, int]:
        """Update *collection* from *version*, or load it completely, to the latest version."""
        with self._database.read() as session:
            latest = collection_changes.get_version(session, collection_id)
            changes = (
                None
                if collection is None
                else collection_changes.list_changes_since(session, collection_id, version)
            )
            changed_ids = (
                None if changes is None else sorted({document_id for _, document_id in changes})
            )
            rows = store.list_attributes(session, collection_id, changed_ids)
        if collection is None or changed_ids is None:
            collection = _CollectionAttributes()
        for document_id in changed_ids or ():
            collection.remove_document(document_id)
        for document_id, filename, content_type, metadata in rows:
            fixed = {"filename": filename, "content_type": content_type, "document_id": document_id}
            collection.set_attributes(document_id, {**metadata, **fixed})
        return collection, latest
