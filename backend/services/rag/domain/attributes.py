"""What is known of each document, kept for filters and up to date with the tables."""

import json
from collections.abc import Mapping
from typing import Any

from backend.chassis.database.sessions import Database
from backend.services.rag.domain.filters import Condition
from backend.services.rag.store import changes
from backend.services.rag.store import documents as store
from backend.services.rag.store.following import Following

# Characters of metadata; as Python's objects they take several times as much.
_MOST = 20_000_000
_EACH = 300


class _Known:
    """The documents of one collection. Its length is about what it holds in memory."""

    def __init__(self) -> None:
        self._documents: dict[str, Mapping[str, Any]] = {}
        self._sizes: dict[str, int] = {}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def put(self, document_id: str, attributes: Mapping[str, Any]) -> None:
        self.forget(document_id)
        self._documents[document_id] = attributes
        self._sizes[document_id] = _EACH + len(json.dumps(attributes))
        self._length += self._sizes[document_id]

    def forget(self, document_id: str) -> None:
        self._documents.pop(document_id, None)
        self._length -= self._sizes.pop(document_id, 0)

    def matching(self, condition: Condition) -> set[str]:
        return {key for key, attributes in self._documents.items() if condition(attributes)}


class DocumentAttributes:
    """Metadata, and document_id, filename and content_type, which no metadata can hide."""

    def __init__(self, database: Database) -> None:
        """*database* over all tenants: the caller says which collections may be asked about."""
        self._database = database
        self._known = Following(self._caught_up, _MOST)

    def matching(self, collection_id: str, version: int, condition: Condition) -> set[str]:
        """The documents of the collection that *condition* holds for, as of *version*."""
        with self._known.at(collection_id, version) as known:
            return known.matching(condition)

    def _caught_up(
        self, collection_id: str, known: _Known | None, version: int
    ) -> tuple[_Known, int]:
        with self._database.read() as session:
            latest = changes.version_of(session, collection_id)
            since = None if known is None else changes.since(session, collection_id, version)
            changed = None if since is None else sorted({each for _, each in since})
            rows = store.attributes_in(session, collection_id, changed)
        if known is None or changed is None:
            known = _Known()
        for document_id in changed or ():
            known.forget(document_id)
        for document_id, filename, content_type, metadata in rows:
            own = {"filename": filename, "content_type": content_type, "document_id": document_id}
            known.put(document_id, {**metadata, **own})
        return known, latest
