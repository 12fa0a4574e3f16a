"""Collections: whose they are, who else may read or write them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from backend.chassis.database.sessions import Database, Session
from backend.chassis.web.paging import cut_page
from backend.services.rag.errors import CollectionExists, CollectionNotFound, NotTheOwner, ReadOnly
from backend.services.rag.store import collections as store
from backend.services.rag.store import documents as document_store
from backend.services.rag.store.collections import Access, CollectionRow, GrantRow

# Where a document goes when its owner names no collection.
DEFAULT = "default"
_RISING: tuple[Access, ...] = ("none", "read", "write")


@dataclass(frozen=True, slots=True)
class Reader:
    """Who asks. Everything that is looked up is looked up for one."""

    tenant_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class Collection:
    """A shelf of documents. Only its owner sees with whom it is shared."""

    id: str
    name: str
    description: str
    owner_id: str
    tenant_access: Access
    access: Access
    grants: Mapping[str, Access]
    created_at: datetime


class Collections:
    """What a reader may do with collections."""

    def __init__(self, database: Database, wake: Callable[[], None]) -> None:
        self._database = database
        self._wake = wake

    def add(self, reader: Reader, name: str, description: str, tenant_access: Access) -> Collection:
        with self._database.write(reader.tenant_id) as session:
            row = CollectionRow(
                tenant_id=reader.tenant_id,
                owner_id=reader.user_id,
                name=name,
                description=description,
                tenant_access=tenant_access,
                grants=[],
            )
            store.add(session, row)
            return _seen_by(reader, row)

    def page(
        self, reader: Reader, after: str | None, limit: int
    ) -> tuple[list[Collection], str | None]:
        with self._database.read(reader.tenant_id) as session:
            rows = store.page(session, reader.tenant_id, reader.user_id, after, limit + 1)
            shown, cursor = cut_page(rows, limit, lambda row: (row.id,))
            return [_seen_by(reader, row) for row in shown], cursor

    def find(self, reader: Reader, named: str) -> Collection:
        with self._database.read(reader.tenant_id) as session:
            return _seen_by(reader, found(session, reader, named))

    def change(
        self,
        reader: Reader,
        named: str,
        *,
        name: str | None,
        description: str | None,
        tenant_access: Access | None,
    ) -> Collection:
        with self._database.write(reader.tenant_id) as session:
            row = _owned(session, reader, named)
            if name is not None and name != row.name:
                store.rename(session, row, name)
            if description is not None:
                row.description = description
            if tenant_access is not None:
                row.tenant_access = tenant_access
            return _seen_by(reader, row)

    def delete(self, reader: Reader, named: str) -> None:
        """Delete the collection and every document in it."""
        with self._database.write(reader.tenant_id) as session:
            row = _owned(session, reader, named)
            for document in document_store.in_collection(session, row.id):
                document_store.remove(session, document)
            session.flush()
            session.add(document_store.RemovalRow(collection_id=row.id))
            session.delete(row)
        self._wake()

    def grant(self, reader: Reader, named: str, user_id: str, access: Access) -> Collection:
        with self._database.write(reader.tenant_id) as session:
            row = _owned(session, reader, named)
            session.merge(GrantRow(collection_id=row.id, user_id=user_id, access=access))
            session.flush()
            session.refresh(row)
            return _seen_by(reader, row)

    def revoke(self, reader: Reader, named: str, user_id: str) -> None:
        with self._database.write(reader.tenant_id) as session:
            row = _owned(session, reader, named)
            row.grants = [grant for grant in row.grants if grant.user_id != user_id]


def found(session: Session, reader: Reader, named: str) -> CollectionRow:
    """The collection that *reader* calls *named*: their own before one shared with them."""
    rows = store.readable(session, reader.tenant_id, reader.user_id, named)
    if not rows:
        raise CollectionNotFound
    return rows[0]


def writable(session: Session, reader: Reader, named: str | None) -> CollectionRow:
    """The collection to put something into; a name nobody uses yet becomes one of the reader's."""
    name = named or DEFAULT
    rows = store.readable(session, reader.tenant_id, reader.user_id, name)
    # The default is always one's own, whatever others who share theirs call it.
    rows = [row for row in rows if named is not None or row.owner_id == reader.user_id]
    if rows:
        ensure_writable(reader, rows[0])
        return rows[0]
    row = CollectionRow(
        tenant_id=reader.tenant_id,
        owner_id=reader.user_id,
        name=name,
        description="",
        tenant_access="none",
        grants=[],
    )
    try:
        store.add(session, row)
    except CollectionExists:  # by another request of the same reader, just now
        return found(session, reader, name)
    return row


def ensure_writable(reader: Reader, row: CollectionRow) -> None:
    if access_of(reader, row) != "write":
        raise ReadOnly


def access_of(reader: Reader, row: CollectionRow) -> Access:
    """The most that ownership, the tenant's share and a grant allow together."""
    if row.owner_id == reader.user_id:
        return "write"
    granted: Access = next((g.access for g in row.grants if g.user_id == reader.user_id), "none")
    return max(row.tenant_access, granted, key=_RISING.index)


def _owned(session: Session, reader: Reader, named: str) -> CollectionRow:
    row = found(session, reader, named)
    if row.owner_id != reader.user_id:
        raise NotTheOwner
    return row


def _seen_by(reader: Reader, row: CollectionRow) -> Collection:
    mine = row.owner_id == reader.user_id
    return Collection(
        id=row.id,
        name=row.name,
        description=row.description,
        owner_id=row.owner_id,
        tenant_access=row.tenant_access,
        access=access_of(reader, row),
        grants={grant.user_id: grant.access for grant in row.grants} if mine else {},
        created_at=row.created_at,
    )
