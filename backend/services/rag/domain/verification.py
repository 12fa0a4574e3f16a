"""Whether tables, files and vectors agree; and making them agree again."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import time

from backend.chassis.database.sessions import Database
from backend.services.rag.domain.embedding_models import EmbeddingModels, Known
from backend.services.rag.domain.uploads import Blobs
from backend.services.rag.store import documents as document_store
from backend.services.rag.store import embeddings as embedding_store
from backend.services.rag.store import queue
from backend.services.rag.store import verification as store
from backend.services.rag.store.documents import DocumentRow
from backend.services.rag.store.vectors import VectorStore

# What is younger may belong to a request that is under way.
_STRAY_SECONDS = 3600
_SHOWN = 5

# Told with what is looked at, what is done of it and what there is to do.
Tell = Callable[[str, int, int], None]


@dataclass(slots=True)
class Finding:
    """One thing that was compared: how many were looked at, which do not agree, what was done."""

    what: str
    looked_at: int = 0
    wrong: list[str] = field(default_factory=list)
    mended: int = 0

    @property
    def examples(self) -> list[str]:
        return self.wrong[:_SHOWN]


class Verification:
    """Compares; with *mend*, has what is derived made anew and drops what belongs to nothing.

    An original that is missing or damaged cannot be made anew: only its owner has it.
    """

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        models: EmbeddingModels,
        vectors: VectorStore,
        *,
        mend: bool,
        tell: Tell,
    ) -> None:
        """*database* sees all tenants' rows."""
        self._database = database
        self._blobs = blobs
        self._models = models
        self._vectors = vectors
        self._mend = mend
        self._tell = tell

    def findings(self) -> Iterator[Finding]:
        yield from self._originals()
        yield self._stray_files()
        yield self._passages()
        yield self._stray_rows()
        for known in self._models.current():
            yield from self._partitions(known)
        yield self._stray_partitions()

    def _originals(self) -> Iterator[Finding]:
        missing = Finding("originals that are missing")
        damaged = Finding("originals that are damaged")
        with self._database.read() as session:
            documents = store.originals(session)
        for number, (document_id, blob, sha256) in enumerate(documents, 1):
            missing.looked_at += 1
            try:
                found = _sha256(self._blobs.path(blob))
            except FileNotFoundError:
                if self._still(document_id):
                    missing.wrong.append(document_id)
                continue
            damaged.looked_at += 1
            if found != sha256:
                damaged.wrong.append(document_id)
            self._tell("originals", number, len(documents))
        yield missing
        yield damaged

    def _stray_files(self) -> Finding:
        strays = Finding("files that no document has")
        files = self._blobs.older_than(time() - _STRAY_SECONDS)
        with self._database.read() as session:
            known = document_store.blobs(session)
        strays.looked_at = len(files)
        for name in files:
            if name not in known:
                strays.wrong.append(name)
                if self._mend:
                    self._blobs.delete(name)
                    strays.mended += 1
        return strays

    def _passages(self) -> Finding:
        """Each stands letter for letter in the text that is kept, and none is missing."""
        torn = Finding("documents whose passages are not their text")
        with self._database.read() as session:
            ids = store.shown(session)
        for number, document_id in enumerate(ids, 1):
            torn.looked_at += 1
            with self._database.read() as session:
                if store.passages_agree(session, document_id):
                    continue
            torn.wrong.append(document_id)
            if self._mend:
                torn.mended += self._read_anew(document_id)
            self._tell("passages", number, len(ids))
        return torn

    def _stray_rows(self) -> Finding:
        """Pages and passages of generations that are neither shown nor being read."""
        strays = Finding("documents with rests of earlier readings")
        with self._database.read() as session:
            strays.wrong = list(store.with_rests(session))
            strays.looked_at = len(store.shown(session))
        if self._mend:
            for document_id in strays.wrong:
                with self._database.write() as session:
                    strays.mended += store.drop_rests(session, document_id)
        return strays

    def _partitions(self, known: Known) -> Iterator[Finding]:
        """What the model's partitions hold, against the passages that are shown."""
        missing = Finding(f"documents with vectors missing ({known.name})")
        extra = Finding(f"vectors that no passage has ({known.name})")
        with self._database.read() as session:
            collections = store.collections(session)
        for number, collection_id in enumerate(collections, 1):
            self._partition(known, collection_id, missing, extra)
            self._tell("vectors", number, len(collections))
        yield missing
        yield extra

    def _partition(
        self, known: Known, collection_id: str, missing: Finding, extra: Finding
    ) -> None:
        partition = known.partition(collection_id)
        stored: dict[str, set[str]] = defaultdict(set)
        for each in self._vectors.stored(partition):
            stored[each.document_id].add(each.id)
        # After the vectors: a document that came meanwhile then has more rows than were seen,
        # and one that went has fewer, which a second look tells from what is wrong.
        with self._database.read() as session:
            expected = store.embedded_ids(session, known.id, collection_id)
            passages = store.passage_ids(session, collection_id)
            unsettled = store.unsettled(session, collection_id)
        missing.looked_at += len(expected)
        extra.looked_at += sum(map(len, stored.values()))
        lost = [key for key, ids in expected.items() if ids - stored.get(key, set())]
        if lost:
            again: dict[str, set[str]] = defaultdict(set)
            for each in self._vectors.stored(partition):
                again[each.document_id].add(each.id)
            for document_id in lost:
                if expected[document_id] - again[document_id] and self._still(document_id):
                    self._lost(known, document_id, missing)
        for document_id, ids in stored.items():
            stray = ids - passages.get(document_id, set())
            if stray and document_id not in unsettled:
                extra.wrong += sorted(stray)
                if self._mend:
                    self._vectors.remove(partition, sorted(stray))
                    extra.mended += len(stray)

    def _lost(self, known: Known, document_id: str, missing: Finding) -> None:
        missing.wrong.append(document_id)
        if self._mend:
            with self._database.write() as session:
                embedding_store.begin_anew(session, known.id, document_id)
            missing.mended += 1

    def _stray_partitions(self) -> Finding:
        strays = Finding("partitions of no collection or model")
        partitions = self._vectors.partitions()
        strays.looked_at = len(partitions)
        with self._database.read() as session:
            collections = set(store.collections(session)) | store.leaving_collections(session)
            suffixes = store.suffixes(session)
        for partition in partitions:
            collection_id, _, suffix = partition.partition(".")
            if collection_id in collections and suffix in suffixes:
                continue
            strays.wrong.append(partition)
            if self._mend:
                self._vectors.drop(partition)
                strays.mended += 1
        return strays

    def _read_anew(self, document_id: str) -> bool:
        with self._database.write() as session:
            row = session.get(DocumentRow, document_id)
            if row is not None:
                queue.read_anew(row)
            return row is not None

    def _still(self, document_id: str) -> bool:
        """Whether it is still there: one that was deleted meanwhile is not wrong."""
        with self._database.read() as session:
            return session.get(DocumentRow, document_id) is not None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
