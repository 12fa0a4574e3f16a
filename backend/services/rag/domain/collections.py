"""Collections of documents and their sharing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from backend.chassis.database.sessions import Database, Session
from backend.chassis.messaging.audit_outbox import AuditOutbox
from backend.chassis.web.paging import paginate
from backend.services.rag.domain.access import (
    get_access,
    get_owned_collection,
    get_readable_collection,
)
from backend.services.rag.domain.audit import record_collection_change
from backend.services.rag.model import Viewer
from backend.services.rag.store import collections as store
from backend.services.rag.store import documents as document_store
from backend.services.rag.store.collections import Access, CollectionRow, GrantRow


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection of documents.

    Attributes:
        tenant_access: access of all users of the tenant.
        access: access of the viewer.
        grants: access by user id; empty unless the viewer is the owner.
    """

    id: str
    name: str
    description: str
    owner_id: str
    tenant_access: Access
    access: Access
    grants: Mapping[str, Access]
    created_at: datetime


class CollectionService:
    """Operations that a viewer can perform on collections.

    Methods take a collection by name or id. They raise CollectionNotFound if the viewer cannot
    read it, and NotCollectionOwner if only its owner can change it.
    """

    def __init__(self, database: Database, wake: Callable[[], None], audit: AuditOutbox) -> None:
        """*wake* notifies the ingestion workers; *audit* records deletions and sharing."""
        self._database = database
        self._wake = wake
        self._audit = audit

    def create_collection(
        self, viewer: Viewer, name: str, description: str, tenant_access: Access
    ) -> Collection:
        """Create a collection. Raises CollectionExists if the viewer owns one of this name."""
        with self._database.write(viewer.tenant_id) as session:
            row = CollectionRow(
                tenant_id=viewer.tenant_id,
                owner_id=viewer.user_id,
                name=name,
                description=description,
                tenant_access=tenant_access,
                grants=[],
            )
            store.add_collection(session, row)
            if tenant_access != "none":
                record_collection_change(
                    self._audit, session, viewer, "collection.share", row, access=tenant_access
                )
            return _to_collection(viewer, row)

    def list_collections(
        self, viewer: Viewer, after: str | None, limit: int
    ) -> tuple[list[Collection], str | None]:
        """Return a page of the readable collections after id *after*, and the next cursor."""
        with self._database.read(viewer.tenant_id) as session:
            rows = store.list_collections(
                session, viewer.tenant_id, viewer.user_id, after, limit + 1
            )
            page, cursor = paginate(rows, limit, lambda row: (row.id,))
            return [_to_collection(viewer, row) for row in page], cursor

    def get_collection(self, viewer: Viewer, name_or_id: str) -> Collection:
        with self._database.read(viewer.tenant_id) as session:
            return _to_collection(viewer, get_readable_collection(session, viewer, name_or_id))

    def update_collection(
        self,
        viewer: Viewer,
        name_or_id: str,
        *,
        name: str | None,
        description: str | None,
        tenant_access: Access | None,
    ) -> Collection:
        """Change the values that are not None."""
        with self._database.write(viewer.tenant_id) as session:
            row = get_owned_collection(session, viewer, name_or_id)
            if name is not None and name != row.name:
                store.rename_collection(session, row, name)
            if description is not None:
                row.description = description
            if tenant_access is not None and tenant_access != row.tenant_access:
                record_collection_change(
                    self._audit, session, viewer, "collection.share", row, access=tenant_access
                )
                row.tenant_access = tenant_access
            return _to_collection(viewer, row)

    def delete_collection(self, viewer: Viewer, name_or_id: str) -> None:
        """Delete the collection and all of its documents.

        A large collection is only hidden: the ingestion workers delete it in short transactions.
        """
        with self._database.write(viewer.tenant_id) as session:
            row = get_owned_collection(session, viewer, name_or_id)
            count = document_store.count_documents_in_collection(session, row.id)
            record_collection_change(
                self._audit, session, viewer, "collection.delete", row, documents=count
            )
            if document_store.is_large_collection(session, row.id):
                store.hide_collection(session, row)
                document_store.delete_hidden_collection_later(session, row.id)
            else:
                self._delete_small_collection(session, row)
        self._wake()

    def _delete_small_collection(self, session: Session, row: CollectionRow) -> None:
        for document in document_store.list_documents_in_collection(session, row.id):
            document_store.delete_document(session, document)
        session.flush()
        session.add(document_store.RemovalRow(collection_id=row.id))
        session.delete(row)

    def grant_access(
        self, viewer: Viewer, name_or_id: str, user_id: str, access: Access
    ) -> Collection:
        """Give *user_id* access to the collection, replacing an earlier grant."""
        with self._database.write(viewer.tenant_id) as session:
            row = get_owned_collection(session, viewer, name_or_id)
            session.merge(GrantRow(collection_id=row.id, user_id=user_id, access=access))
            session.flush()
            session.refresh(row)
            self._record_grant(session, viewer, row, user_id, access)
            return _to_collection(viewer, row)

    def revoke_access(self, viewer: Viewer, name_or_id: str, user_id: str) -> None:
        """Delete the grant of *user_id*, if there is one."""
        with self._database.write(viewer.tenant_id) as session:
            row = get_owned_collection(session, viewer, name_or_id)
            remaining = [grant for grant in row.grants if grant.user_id != user_id]
            if len(remaining) == len(row.grants):
                return
            row.grants = remaining
            self._record_grant(session, viewer, row, user_id, "none")

    def _record_grant(
        self, session: Session, viewer: Viewer, row: CollectionRow, user_id: str, access: str
    ) -> None:
        record_collection_change(
            self._audit, session, viewer, "collection.grant", row, user_id=user_id, access=access
        )


def _to_collection(viewer: Viewer, row: CollectionRow) -> Collection:
    is_owner = row.owner_id == viewer.user_id
    return Collection(
        id=row.id,
        name=row.name,
        description=row.description,
        owner_id=row.owner_id,
        tenant_access=row.tenant_access,
        access=get_access(viewer, row),
        grants={grant.user_id: grant.access for grant in row.grants} if is_owner else {},
        created_at=row.created_at,
    )
