"""Export all documents to one file, and import it into the same or another installation.

Vectors and chunks are not exported. They are built from the text with the embedding model and
vector store of the importing installation.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from backend.chassis.database.sessions import Database, Session
from backend.services.rag.domain.blob_storage import BlobStorage
from backend.services.rag.domain.maintenance.export_archive import (
    ArchivedDocument,
    create_archive,
    open_archive,
)
from backend.services.rag.errors import InvalidExport
from backend.services.rag.store import attachments as attachment_store
from backend.services.rag.store import collections as collection_store
from backend.services.rag.store import documents as document_store
from backend.services.rag.store.attachments import AttachmentRow
from backend.services.rag.store.base import utc_now
from backend.services.rag.store.collections import CollectionRow, GrantRow
from backend.services.rag.store.documents import DocumentRow

_COLLECTION_FIELDS = ("id", "tenant_id", "owner_id", "name", "description", "tenant_access")
_DOCUMENT_FIELDS = (
    *("id", "tenant_id", "collection_id", "owner_id", "filename", "title", "title_given"),
    *("content_type", "size_bytes", "sha256", "attributes", "error_code", "error_detail", "pages"),
)
_ATTACHMENT_FIELDS = (
    *("number", "filename", "content_type", "size_bytes", "sha256"),
    *("error_code", "error_detail"),
)
_PAGE_FIELDS = ("number", "start", "text", "headings")
_MAX_FILE_BYTES = 2**40

# Called with the finished and the total number of documents.
ReportProgress = Callable[[int, int], None]


@dataclass(slots=True)
class ExportResult:
    """Number of exported documents, and of those left out because their file is missing."""

    documents: int = 0
    missing_originals: int = 0


@dataclass(slots=True)
class ImportResult:
    """Numbers of imported documents and collections, and of documents that already existed."""

    documents: int = 0
    existing_documents: int = 0
    collections: int = 0


def export_library(
    database: Database, blob_storage: BlobStorage, file: Path, report_progress: ReportProgress
) -> ExportResult:
    """Write all tenants' collections and documents to *file*.

    *database* sees all tenants' rows.

    Raises:
        FileExistsError: *file* exists.
    """
    result = ExportResult()
    with create_archive(file) as archive:
        with database.read() as session:
            archive.write_library(
                {"made_at": utc_now().isoformat(), "collections": _export_collections(session)}
            )
            ids = document_store.list_document_ids(session)
        for number, document_id in enumerate(ids, 1):
            with database.read() as session:
                row = session.get(DocumentRow, document_id)
                if row is None:  # deleted meanwhile
                    continue
                record = _export_document(session, row)
                blob = row.blob
            try:
                with blob_storage.open_blob(blob) as original:
                    archive.write_document(document_id, record, original)
                result.documents += 1
            except FileNotFoundError:
                result.missing_originals += 1
            report_progress(number, len(ids))
    return result


def import_library(
    database: Database, blob_storage: BlobStorage, file: Path, report_progress: ReportProgress
) -> ImportResult:
    """Import the collections and documents of *file* that do not exist yet.

    Ids, tenants and owners are preserved. Imported documents are queued for indexing. The import
    can be repeated: existing documents are not changed.

    Raises:
        InvalidExport: *file* is not a complete export.
    """
    result = ImportResult()
    with open_archive(file) as archive:
        collection_ids: dict[str, str] = {}
        for record in archive.library["collections"]:
            with database.write() as session:
                collection_ids[record["id"]] = _ensure_collection(session, record, result)
        for number, document in enumerate(archive.iterate_documents(), 1):
            _import_document(database, blob_storage, document, collection_ids, result)
            report_progress(number, archive.document_count)
    return result


def _export_collections(session: Session) -> list[dict[str, Any]]:
    return [
        {name: getattr(row, name) for name in _COLLECTION_FIELDS}
        | {
            "created_at": row.created_at.isoformat(),
            "grants": {grant.user_id: grant.access for grant in row.grants},
        }
        for row in collection_store.list_all_collections(session)
    ]


def _export_document(session: Session, row: DocumentRow) -> dict[str, Any]:
    pages = document_store.list_pages(session, row.id, row.generation) if row.generation else ()
    return {name: getattr(row, name) for name in _DOCUMENT_FIELDS} | {
        "created_at": row.created_at.isoformat(),
        "failed": row.status == "failed",
        "attachment_of": row.attachment_of,
        "warnings": row.warnings,
        "attachments": [
            {name: getattr(attachment, name) for name in _ATTACHMENT_FIELDS}
            for attachment, _ in attachment_store.list_attachments(session, [row.id])
        ],
        "text": [{name: getattr(page, name) for name in _PAGE_FIELDS} for page in pages],
    }


def _ensure_collection(session: Session, record: Mapping[str, Any], result: ImportResult) -> str:
    """Create the collection if needed.

    Returns:
        The id of the collection. It differs from the exported one if a collection with the same
        owner and name exists.
    """
    row = session.get(CollectionRow, record["id"]) or collection_store.get_collection_by_name(
        session, record["tenant_id"], record["owner_id"], record["name"]
    )
    if row is None:
        row = CollectionRow(**{name: record[name] for name in _COLLECTION_FIELDS})
        row.created_at = datetime.fromisoformat(record["created_at"])
        row.grants = [
            GrantRow(user_id=user_id, access=access) for user_id, access in record["grants"].items()
        ]
        session.add(row)
        session.flush()
        result.collections += 1
    return row.id


def _import_document(
    database: Database,
    blob_storage: BlobStorage,
    document: ArchivedDocument,
    collection_ids: Mapping[str, str],
    result: ImportResult,
) -> None:
    record = document.record
    collection_id = collection_ids[record["collection_id"]]
    with database.read() as session:
        if document_store.document_exists(session, record["id"], collection_id, record["sha256"]):
            result.existing_documents += 1
            return
    with blob_storage.receive_files(_MAX_FILE_BYTES, record["tenant_id"]) as receiver:
        with receiver.create_file() as file:
            shutil.copyfileobj(document.original, file)
            if file.sync_and_hash() != record["sha256"]:
                raise InvalidExport(f"The file of {record['id']} is damaged in this export.")
        receiver.sync_folder()
        with database.write() as session:
            row = _build_row(record, collection_id, file.blob)
            if not document_store.add_document(session, row):
                result.existing_documents += 1
                return
            session.flush()
            session.add_all(
                AttachmentRow(document_id=row.id, **each) for each in record.get("attachments", ())
            )
            pages = [
                {"document_id": row.id, "generation": 1}
                | {name: page[name] for name in _PAGE_FIELDS}
                for page in record["text"]
            ]
            if pages:
                document_store.add_pages(session, pages)
        receiver.keep_file(file.blob)
    result.documents += 1


def _build_row(record: Mapping[str, Any], collection_id: str, blob: str) -> DocumentRow:
    """Return a row that is queued for chunking, or for extraction if it has no text.

    A failed document without text stays failed.
    """
    row = DocumentRow(**{name: record[name] for name in _DOCUMENT_FIELDS})
    row.collection_id = collection_id
    row.blob = blob
    # Exports of earlier versions contain neither of these two fields.
    row.attachment_of = record.get("attachment_of")
    row.warnings = record.get("warnings", [])
    row.created_at = datetime.fromisoformat(record["created_at"])
    row.generation = 1 if record["text"] else 0
    if record["failed"] and not record["text"]:
        row.status = row.stage = "failed"
    return row
