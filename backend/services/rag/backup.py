"""Backup contribution of the rag service: uploaded files and vectors.

rag/blobs/BLOB/SHA256          an uploaded file
rag/blobs/BLOB.sealed/SHA256   an encrypted one, as it is stored; the digest is of its content
rag/vectors/MODEL/NUMBER   vectors of visible chunks (domain/maintenance/vector_serialization.py)
"""

import os
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from itertools import count

from sqlalchemy import Connection

from backend.chassis.backup_contract import (
    BackupContributor,
    BackupMember,
    MemberWriter,
    PrintLine,
    Progress,
)
from backend.chassis.console import CommandError
from backend.chassis.data_encryption.files import SUFFIX
from backend.chassis.data_encryption.sealed_data import find_master_key_problems
from backend.chassis.data_encryption.settings import NO_ENCRYPTION, EncryptionSettings
from backend.chassis.settings import Env
from backend.services.rag.domain.blob_storage import BlobStorage
from backend.services.rag.domain.embeddings.model_registry import build_partition_name
from backend.services.rag.domain.maintenance import vector_serialization
from backend.services.rag.domain.maintenance.vector_serialization import DocumentVectors
from backend.services.rag.errors import VectorSearchUnavailable
from backend.services.rag.settings import Settings
from backend.services.rag.store import snapshot as store
from backend.services.rag.store.chunks import build_chunk_id
from backend.services.rag.store.sentence_vectors import SentenceVectorsRow
from backend.services.rag.store.snapshot import EmbeddedDocument
from backend.services.rag.store.vectors import VectorStore
from backend.services.rag.store.vectors.factory import VectorStoreSettings, open_vector_store

_CHUNKS_PER_MEMBER = 1000


class RagBackupContributor(BackupContributor):
    """Adds uploaded files and vectors to a backup and restores them."""

    def __init__(
        self,
        blobs: BlobStorage,
        vectors: VectorStore,
        settings: VectorStoreSettings,
        encryption: EncryptionSettings = NO_ENCRYPTION,
    ) -> None:
        self._blobs = blobs
        self._encryption = encryption
        self._vectors = vectors
        self._settings = settings
        # Number of restored vectors by model and document.
        self._restored_counts: Counter[tuple[str, str]] = Counter()
        self._emptied_partitions: set[str] = set()

    def hold_files(self) -> AbstractContextManager[None]:
        return self._blobs.block_deletion()

    def list_derived_tables(self) -> Collection[str]:
        # About 3.5 kB for each chunk. The worker creates missing ones when no document waits.
        return (SentenceVectorsRow.__tablename__,)

    def write_members(
        self, snapshot: Connection, writer: MemberWriter, print_line: PrintLine
    ) -> list[str]:
        progress = Progress(print_line)
        problems: list[str] = []
        files = 0
        for original in store.iterate_originals(snapshot):
            path = self._blobs.find_stored_path(original.blob)
            is_sealed = path is not None and path.name.endswith(SUFFIX)
            name = f"rag/blobs/{original.blob}{SUFFIX * is_sealed}/{original.sha256}"
            try:
                with (path or self._blobs.get_file(original.blob).path).open("rb") as source:
                    size = os.fstat(source.fileno()).st_size if is_sealed else original.size_bytes
                    digest = writer.add_file(name, size, source)
            except FileNotFoundError:
                problems.append(
                    f"The file of document {original.document_id} was missing when the backup was "
                    "taken."
                )
                continue
            # An encrypted file is authenticated when it is read.
            if digest != original.sha256 and not is_sealed:
                problems.append(
                    f"The file of document {original.document_id} was damaged when the backup was "
                    "taken."
                )
            files += 1
            progress.report(f"rag: {files} files")
        print_line(f"rag: {files} files")
        try:
            self._write_vectors(snapshot, writer, print_line)
        except VectorSearchUnavailable as error:
            raise _unavailable_error(error) from error
        return problems

    def restore_member(self, member: BackupMember) -> None:
        _, kind, name, _ = member.name.split("/")
        if kind == "blobs":
            self._blobs.write_blob(name, iter(member.read, b""))
        elif kind == "vectors":
            try:
                self._restore_vectors(name, member.read_all())
            except VectorSearchUnavailable as error:
                raise _unavailable_error(error) from error
        else:
            raise ValueError(f"unknown member {member.name}")

    def update_restored_rows(self, connection: Connection) -> list[str]:
        store.requeue_unfinished(connection)
        incomplete = store.reconcile_embeddings(
            connection, self._settings.kind, self._restored_counts
        )
        problems = [
            f"The file of document {original.document_id} is missing. Only its owner can upload it "
            "again."
            for original in store.iterate_originals(connection)
            if self._blobs.find_stored_path(original.blob) is None
        ]
        problems += find_master_key_problems("rag", connection, self._encryption)
        if incomplete:
            problems.append(
                f"The vectors of {incomplete} documents are missing. They are created in the "
                "background."
            )
        return problems

    def list_replaced_paths(self) -> tuple[str, ...]:
        # The folder of a vector server is not replaced, even if it is below DATA_DIR: vectors were
        # restored through the server's API.
        vectors = () if self._settings.url else (f"rag/{self._settings.folder.name}",)
        return ("rag/blobs", *vectors)

    def close(self) -> None:
        self._vectors.close()

    def _write_vectors(
        self, snapshot: Connection, writer: MemberWriter, print_line: PrintLine
    ) -> None:
        progress, numbers, written = Progress(print_line), count(), 0
        total = store.count_embedded_chunks(snapshot)
        for batch in _batches(store.iterate_embedded_documents(snapshot)):
            parts = self._fetch_vectors(batch)
            written += sum(len(part.ordinals) for part in parts)
            if parts:
                name = f"rag/vectors/{batch[0].model_id}/{next(numbers):08}"
                writer.add_bytes(name, vector_serialization.serialize_vectors(parts))
            progress.report(f"rag: {written} of {total} vectors")
        print_line(f"rag: {written} of {total} vectors")

    def _fetch_vectors(self, batch: list[EmbeddedDocument]) -> list[DocumentVectors]:
        """Return the stored vectors of a batch of documents in one partition."""
        partition = build_partition_name(batch[0].collection_id, batch[0].suffix)
        chunk_ids = [
            build_chunk_id(document.document_id, document.generation, ordinal)
            for document in batch
            for ordinal in range(document.chunks)
        ]
        vectors = self._vectors.fetch_vectors(partition, chunk_ids)
        parts = (
            vector_serialization.collect_document_vectors(
                partition, document.document_id, document.generation, document.chunks, vectors
            )
            for document in batch
        )
        return [part for part in parts if part is not None]

    def _restore_vectors(self, model: str, content: bytes) -> None:
        for part in vector_serialization.deserialize_vectors(content):
            if part.partition not in self._emptied_partitions:
                self._emptied_partitions.add(part.partition)
                self._vectors.drop_partition(part.partition)
            self._vectors.add_vectors(
                part.partition, part.document_id, part.generation, part.ids, part.rows
            )
            self._restored_counts[model, part.document_id] += len(part.ordinals)


def open_contributor(env: Env) -> RagBackupContributor:
    """Return a contributor, which opens the files and the vector store on first use."""
    settings = Settings.from_env(env)
    blobs = BlobStorage(settings.folder / "blobs")
    return RagBackupContributor(
        blobs, open_vector_store(settings.vectors), settings.vectors, settings.encryption
    )


def _batches(documents: Iterator[EmbeddedDocument]) -> Iterator[list[EmbeddedDocument]]:
    """Yield batches of documents of one partition with about _CHUNKS_PER_MEMBER chunks."""
    batch: list[EmbeddedDocument] = []
    chunks = 0
    for document in documents:
        new_partition = batch and document.partition != batch[0].partition
        if new_partition or chunks >= _CHUNKS_PER_MEMBER:
            yield batch
            batch, chunks = [], 0
        batch.append(document)
        chunks += document.chunks
    if batch:
        yield batch


def _unavailable_error(error: VectorSearchUnavailable) -> CommandError:
    return CommandError(
        f"The vector store cannot be reached, so nothing was changed: {error.reason} "
        "Start the vector store, or set VECTOR_STORE to one that responds."
    )
