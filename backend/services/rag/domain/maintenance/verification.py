"""Consistency check of tables, files and vectors, with optional repair."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import time

from backend.chassis.database.sessions import Database
from backend.chassis.encryption import DamagedValue
from backend.services.rag.domain.blob_storage import BlobStorage
from backend.services.rag.domain.embeddings.model_registry import (
    EmbeddingModelRegistry,
    StoredModel,
)
from backend.services.rag.store import documents as document_store
from backend.services.rag.store import embeddings as embedding_store
from backend.services.rag.store import ingestion_queue
from backend.services.rag.store import verification as store
from backend.services.rag.store.documents import DocumentRow
from backend.services.rag.store.vectors import VectorStore

# A file younger than this can belong to a request that is still running.
_MIN_ORPHAN_AGE_SECONDS = 3600
_MAX_EXAMPLES = 5

# Called with the name of a check, and the finished and total number of items.
ReportProgress = Callable[[str, int, int], None]


@dataclass(slots=True)
class CheckResult:
    """Result of one check: checked items, inconsistent items, and how many were repaired."""

    description: str
    checked: int = 0
    inconsistent: list[str] = field(default_factory=list)
    repaired: int = 0

    @property
    def examples(self) -> list[str]:
        return self.inconsistent[:_MAX_EXAMPLES]


class ConsistencyCheck:
    """Compares tables, files and vectors.

    With *repair*, it rebuilds derived data and deletes orphaned data. A missing or damaged uploaded
    file cannot be repaired: only its owner has another copy.
    """

    def __init__(
        self,
        database: Database,
        blob_storage: BlobStorage,
        models: EmbeddingModelRegistry,
        vectors: VectorStore,
        *,
        repair: bool,
        report_progress: ReportProgress,
    ) -> None:
        """*database* sees all tenants' rows."""
        self._database = database
        self._blob_storage = blob_storage
        self._models = models
        self._vectors = vectors
        self._repair = repair
        self._report_progress = report_progress

    def run_checks(self) -> Iterator[CheckResult]:
        yield from self._check_originals()
        yield self._check_orphaned_files()
        yield self._check_chunks()
        yield self._check_stale_text()
        for model in self._models.list_current_models():
            yield from self._check_vectors(model)
        yield self._check_orphaned_partitions()

    def _check_originals(self) -> Iterator[CheckResult]:
        missing = CheckResult("missing original files")
        damaged = CheckResult("damaged original files")
        with self._database.read() as session:
            documents = store.list_originals(session)
        for number, (document_id, blob, sha256) in enumerate(documents, 1):
            missing.checked += 1
            try:
                actual_sha256 = self._hash_file(blob)
            except FileNotFoundError:
                if self._document_exists(document_id):
                    missing.inconsistent.append(document_id)
                continue
            damaged.checked += 1
            if actual_sha256 != sha256:
                damaged.inconsistent.append(document_id)
            self._report_progress("originals", number, len(documents))
        yield missing
        yield damaged

    def _hash_file(self, blob: str) -> str | None:
        """Return the SHA-256 of the content, or None if it cannot be decrypted."""
        try:
            with self._blob_storage.open_blob(blob) as file:
                return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        except DamagedValue:
            return None

    def _check_orphaned_files(self) -> CheckResult:
        result = CheckResult("files without a document")
        files = self._blob_storage.list_blobs_older_than(time() - _MIN_ORPHAN_AGE_SECONDS)
        with self._database.read() as session:
            referenced = document_store.list_blobs(session)
        result.checked = len(files)
        for name in files:
            if name not in referenced:
                result.inconsistent.append(name)
                if self._repair:
                    self._blob_storage.delete_blob(name)
                    result.repaired += 1
        return result

    def _check_chunks(self) -> CheckResult:
        """Check that every chunk is an exact substring of the stored text, and none is missing."""
        result = CheckResult("documents whose chunks do not match their text")
        with self._database.read() as session:
            ids = store.list_ready_documents(session)
        for number, document_id in enumerate(ids, 1):
            result.checked += 1
            with self._database.read() as session:
                if store.chunks_match_text(session, document_id):
                    continue
            result.inconsistent.append(document_id)
            if self._repair:
                result.repaired += self._requeue_document(document_id)
            self._report_progress("chunks", number, len(ids))
        return result

    def _check_stale_text(self) -> CheckResult:
        """Check for pages and chunks of generations that are neither visible nor in progress."""
        result = CheckResult("documents with stale pages or chunks")
        with self._database.read() as session:
            result.inconsistent = list(store.list_documents_with_stale_text(session))
            result.checked = len(store.list_ready_documents(session))
        if self._repair:
            for document_id in result.inconsistent:
                with self._database.write() as session:
                    result.repaired += store.delete_stale_text(session, document_id)
        return result

    def _check_vectors(self, model: StoredModel) -> Iterator[CheckResult]:
        """Compare the vectors in the model's partitions with the visible chunks."""
        missing = CheckResult(f"documents with missing vectors ({model.name})")
        extra = CheckResult(f"vectors without a chunk ({model.name})")
        with self._database.read() as session:
            collections = store.list_collection_ids(session)
        for number, collection_id in enumerate(collections, 1):
            self._check_partition(model, collection_id, missing, extra)
            self._report_progress("vectors", number, len(collections))
        yield missing
        yield extra

    def _check_partition(
        self, model: StoredModel, collection_id: str, missing: CheckResult, extra: CheckResult
    ) -> None:
        partition = model.get_partition_name(collection_id)
        stored = self._list_vector_ids(partition)
        # Read the tables after the vectors. A document that is added or deleted in between then
        # differs from its vectors; it is checked again to rule out a false report.
        with self._database.read() as session:
            expected = store.list_embedded_chunk_ids(session, model.id, collection_id)
            chunk_ids = store.list_chunk_ids(session, collection_id)
            changing = store.list_changing_documents(session, collection_id)
        missing.checked += len(expected)
        extra.checked += sum(map(len, stored.values()))
        incomplete = [key for key, ids in expected.items() if ids - stored.get(key, set())]
        if incomplete:
            stored_now = self._list_vector_ids(partition)
            for document_id in incomplete:
                is_missing = bool(expected[document_id] - stored_now[document_id])
                if is_missing and self._document_exists(document_id):
                    self._record_missing_vectors(model, document_id, missing)
        for document_id, ids in stored.items():
            orphaned = sorted(ids - chunk_ids.get(document_id, set()))
            if orphaned and document_id not in changing:
                extra.inconsistent += orphaned
                if self._repair:
                    self._vectors.delete_vectors(partition, orphaned)
                    extra.repaired += len(orphaned)

    def _list_vector_ids(self, partition: str) -> defaultdict[str, set[str]]:
        """Return the ids of the stored vectors by document id."""
        ids: defaultdict[str, set[str]] = defaultdict(set)
        for vector in self._vectors.iterate_vectors(partition):
            ids[vector.document_id].add(vector.id)
        return ids

    def _record_missing_vectors(
        self, model: StoredModel, document_id: str, missing: CheckResult
    ) -> None:
        missing.inconsistent.append(document_id)
        if self._repair:
            with self._database.write() as session:
                embedding_store.reset_embedding(session, model.id, document_id)
            missing.repaired += 1

    def _check_orphaned_partitions(self) -> CheckResult:
        result = CheckResult("partitions without a collection or model")
        partitions = self._vectors.list_partitions()
        result.checked = len(partitions)
        with self._database.read() as session:
            collections = set(
                store.list_collection_ids(session)
            ) | store.list_collections_in_cleanup(session)
            suffixes = store.list_partition_suffixes(session)
        for partition in partitions:
            collection_id, _, suffix = partition.partition(".")
            if collection_id in collections and suffix in suffixes:
                continue
            result.inconsistent.append(partition)
            if self._repair:
                self._vectors.drop_partition(partition)
                result.repaired += 1
        return result

    def _requeue_document(self, document_id: str) -> bool:
        with self._database.write() as session:
            row = session.get(DocumentRow, document_id)
            if row is not None:
                ingestion_queue.requeue_document(row)
            return row is not None

    def _document_exists(self, document_id: str) -> bool:
        """Return False if the document was deleted meanwhile: it is then not inconsistent."""
        with self._database.read() as session:
            return session.get(DocumentRow, document_id) is not None
