"""Take a library out into one file, and bring it in again: here, or where all else is different.

Vectors and passages stay behind. They follow from the text, under whatever model and store
there is at the other end.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from backend.chassis.database.sessions import Database, Session
from backend.services.rag.domain import archive
from backend.services.rag.domain.archive import Packed
from backend.services.rag.domain.uploads import Blobs
from backend.services.rag.errors import NotAnArchive
from backend.services.rag.store import collections as collection_store
from backend.services.rag.store import documents as document_store
from backend.services.rag.store.base import utc_now
from backend.services.rag.store.collections import CollectionRow, GrantRow
from backend.services.rag.store.documents import DocumentRow, PageRow

_COLLECTION = ("id", "tenant_id", "owner_id", "name", "description", "tenant_access")
_DOCUMENT = (
    *("id", "tenant_id", "collection_id", "owner_id", "filename", "title", "title_given"),
    *("content_type", "size_bytes", "sha256", "attributes", "error_code", "error_detail", "pages"),
)
_PAGE = ("number", "start", "text", "headings")
_MOST_BYTES = 2**40

# Told with what is done and what there is to do.
Tell = Callable[[int, int], None]


@dataclass(slots=True)
class Exported:
    documents: int = 0
    # Without their bytes there is nothing to carry.
    without_file: int = 0


@dataclass(slots=True)
class Imported:
    documents: int = 0
    there_already: int = 0
    collections: int = 0


def export_library(database: Database, blobs: Blobs, file: Path, tell: Tell) -> Exported:
    """Write all tenants' collections and documents to *file*; *database* sees all of them."""
    done = Exported()
    with archive.writing(file) as out:
        with database.read() as session:
            out.begin({"made_at": utc_now().isoformat(), "collections": _collections(session)})
            ids = document_store.all_ids(session)
        for number, document_id in enumerate(ids, 1):
            with database.read() as session:
                row = session.get(DocumentRow, document_id)
                if row is None:  # deleted meanwhile
                    continue
                about = _document(session, row)
                path = blobs.path(row.blob)
            try:
                with path.open("rb") as original:
                    out.add(document_id, about, original)
                done.documents += 1
            except FileNotFoundError:
                done.without_file += 1
            tell(number, len(ids))
    return done


def import_library(database: Database, blobs: Blobs, file: Path, tell: Tell) -> Imported:
    """Bring in what *file* holds and is not here; ids, tenants and owners stay.

    What comes in waits to be indexed. It may be done again: what is here already is left alone.
    """
    done = Imported()
    with archive.reading(file) as source:
        places: dict[str, str] = {}
        for about in source.library["collections"]:
            with database.write() as session:
                places[about["id"]] = _ensure_collection(session, about, done)
        for number, packed in enumerate(source.packed(), 1):
            _import_document(database, blobs, packed, places, done)
            tell(number, source.documents)
    return done


def _collections(session: Session) -> list[dict[str, Any]]:
    return [
        {name: getattr(row, name) for name in _COLLECTION}
        | {
            "created_at": row.created_at.isoformat(),
            "grants": {grant.user_id: grant.access for grant in row.grants},
        }
        for row in collection_store.every(session)
    ]


def _document(session: Session, row: DocumentRow) -> dict[str, Any]:
    pages = document_store.text_pages(session, row.id, row.generation) if row.generation else ()
    return {name: getattr(row, name) for name in _DOCUMENT} | {
        "created_at": row.created_at.isoformat(),
        "failed": row.status == "failed",
        "text": [{name: getattr(page, name) for name in _PAGE} for page in pages],
    }


def _ensure_collection(session: Session, about: Mapping[str, Any], done: Imported) -> str:
    """The id under which the collection is here: its own, or that of its namesake."""
    row = session.get(CollectionRow, about["id"]) or collection_store.of_owner(
        session, about["tenant_id"], about["owner_id"], about["name"]
    )
    if row is None:
        row = CollectionRow(**{name: about[name] for name in _COLLECTION})
        row.created_at = datetime.fromisoformat(about["created_at"])
        row.grants = [GrantRow(user_id=user, access=it) for user, it in about["grants"].items()]
        session.add(row)
        session.flush()
        done.collections += 1
    return row.id


def _import_document(
    database: Database, blobs: Blobs, packed: Packed, places: Mapping[str, str], done: Imported
) -> None:
    about = packed.about
    collection_id = places[about["collection_id"]]
    with database.read() as session:
        if document_store.is_there(session, about["id"], collection_id, about["sha256"]):
            done.there_already += 1
            return
    with blobs.receive(_MOST_BYTES) as incoming:
        with incoming.open() as original:
            shutil.copyfileobj(packed.original, original)
            if original.finished() != about["sha256"]:
                raise NotAnArchive(f"The file of {about['id']} is damaged in this export.")
        incoming.sync()
        with database.write() as session:
            row = _row(about, collection_id, original.blob)
            if not document_store.add(session, row):
                done.there_already += 1
                return
            session.flush()
            session.add_all(
                PageRow(document_id=row.id, generation=1, **{name: page[name] for name in _PAGE})
                for page in about["text"]
            )
        incoming.keep(original.blob)
    done.documents += 1


def _row(about: Mapping[str, Any], collection_id: str, blob: str) -> DocumentRow:
    """Waiting to be cut up from its text, or to be read where it has none; or failed, as it was."""
    row = DocumentRow(**{name: about[name] for name in _DOCUMENT})
    row.collection_id = collection_id
    row.blob = blob
    row.created_at = datetime.fromisoformat(about["created_at"])
    row.generation = 1 if about["text"] else 0
    if about["failed"] and not about["text"]:
        row.status = row.stage = "failed"
    return row
