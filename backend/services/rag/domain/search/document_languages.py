"""Languages of documents, of which each search needs up to a hundred."""

import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import Final

from backend.chassis.database.sessions import Database
from backend.services.rag.store import documents as document_store
from backend.services.rag.store.chunks import get_document_id

# An entry takes about 150 bytes.
_MAX_LANGUAGES: Final = 20_000


class DocumentLanguages:
    """Cache of the languages of recently found documents. Shared between threads.

    A language belongs to a generation of a document, which does not change. Unknown languages are
    not kept: they are detected later for documents of earlier versions.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._languages: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def get_languages(self, tenant_id: str, chunk_ids: Collection[str]) -> Mapping[str, str]:
        """Return the languages of the documents of *chunk_ids* by chunk id, "" if unknown."""
        generations = {chunk_id: chunk_id.rpartition(".")[0] for chunk_id in chunk_ids}
        languages, missing = self._find_languages(set(generations.values()))
        if missing:
            languages |= self._load_languages(tenant_id, missing)
        return {
            chunk_id: languages.get(generation, "") for chunk_id, generation in generations.items()
        }

    def _find_languages(self, generations: Collection[str]) -> tuple[dict[str, str], list[str]]:
        """Return the kept languages by generation, and the other *generations*."""
        languages: dict[str, str] = {}
        missing: list[str] = []
        with self._lock:
            for generation in generations:
                language = self._languages.get(generation)
                if language is None:
                    missing.append(generation)
                else:
                    self._languages.move_to_end(generation)
                    languages[generation] = language
        return languages, missing

    def _load_languages(self, tenant_id: str, generations: Collection[str]) -> dict[str, str]:
        document_ids = {generation: get_document_id(generation) for generation in generations}
        with self._database.read(tenant_id) as session:
            known = document_store.get_languages(session, set(document_ids.values()))
        languages = {
            generation: known[document_id]
            for generation, document_id in document_ids.items()
            if document_id in known
        }
        with self._lock:
            self._languages |= languages
            while len(self._languages) > _MAX_LANGUAGES:
                self._languages.popitem(last=False)
        return languages
