"""Access rules: which collections a viewer can read, write and own."""

from backend.chassis.database.sessions import Session
from backend.services.rag.errors import (
    CollectionExists,
    CollectionNotFound,
    CollectionReadOnly,
    NotCollectionOwner,
)
from backend.services.rag.model import Viewer
from backend.services.rag.store import collections as store
from backend.services.rag.store.collections import Access, CollectionRow

# Collection of documents that are uploaded without a collection name.
DEFAULT_COLLECTION = "default"
_ACCESS_LEVELS: tuple[Access, ...] = ("none", "read", "write")


def get_access(viewer: Viewer, row: CollectionRow) -> Access:
    """Return the highest access that the viewer has as owner, by tenant access or by a grant."""
    if row.owner_id == viewer.user_id:
        return "write"
    granted: Access = next(
        (grant.access for grant in row.grants if grant.user_id == viewer.user_id), "none"
    )
    return max(row.tenant_access, granted, key=_ACCESS_LEVELS.index)


def ensure_writable(viewer: Viewer, row: CollectionRow) -> None:
    """Raise CollectionReadOnly unless the viewer has write access."""
    if get_access(viewer, row) != "write":
        raise CollectionReadOnly


def get_readable_collection(session: Session, viewer: Viewer, name_or_id: str) -> CollectionRow:
    """Return the collection. Of two with the same name, return the viewer's own, not a shared one.

    Raises:
        CollectionNotFound: the viewer can read no such collection.
    """
    rows = store.list_readable_collections(session, viewer.tenant_id, viewer.user_id, name_or_id)
    if not rows:
        raise CollectionNotFound
    return rows[0]


def get_owned_collection(session: Session, viewer: Viewer, name_or_id: str) -> CollectionRow:
    """Return the collection. Raises CollectionNotFound or NotCollectionOwner."""
    row = get_readable_collection(session, viewer, name_or_id)
    if row.owner_id != viewer.user_id:
        raise NotCollectionOwner
    return row


def get_or_create_writable_collection(
    session: Session, viewer: Viewer, name_or_id: str | None
) -> CollectionRow:
    """Return the collection to add documents to, by default the viewer's default collection.

    If no collection has this name, create one that the viewer owns.

    Raises:
        CollectionReadOnly: the viewer has no write access to the collection.
    """
    name = name_or_id or DEFAULT_COLLECTION
    rows = store.list_readable_collections(session, viewer.tenant_id, viewer.user_id, name)
    # The default collection is always the viewer's own, even if others share theirs.
    rows = [row for row in rows if name_or_id is not None or row.owner_id == viewer.user_id]
    if rows:
        ensure_writable(viewer, rows[0])
        return rows[0]
    row = CollectionRow(
        tenant_id=viewer.tenant_id,
        owner_id=viewer.user_id,
        name=name,
        description="",
        tenant_access="none",
        grants=[],
    )
    try:
        store.add_collection(session, row)
    except CollectionExists:  # created by a concurrent request of the same user
        return get_readable_collection(session, viewer, name)
    return row
