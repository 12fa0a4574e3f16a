"""Audit events of documents and collections."""

from typing import Any

from backend.chassis.database.sessions import Session
from backend.chassis.messaging.audit_events import AuditEvent
from backend.chassis.messaging.audit_outbox import AuditOutbox
from backend.services.rag.model import Viewer
from backend.services.rag.store.collections import CollectionRow
from backend.services.rag.store.documents import DocumentRow


def record_document_deletion(
    audit: AuditOutbox, session: Session, viewer: Viewer, row: DocumentRow, **details: Any
) -> None:
    """Record that *viewer* deletes the document. *session* is the transaction that deletes it."""
    _add_event(
        audit,
        session,
        viewer,
        "document.delete",
        row.id,
        {"filename": row.filename, "collection": row.collection.name, **details},
    )


def record_collection_change(
    audit: AuditOutbox,
    session: Session,
    viewer: Viewer,
    action: str,
    row: CollectionRow,
    **details: Any,
) -> None:
    """Record that *viewer* changes or deletes the collection.

    *session* is the transaction of the change.
    """
    _add_event(audit, session, viewer, action, row.id, {"name": row.name, **details})


def _add_event(
    audit: AuditOutbox,
    session: Session,
    viewer: Viewer,
    action: str,
    target: str,
    details: dict[str, Any],
) -> None:
    audit.add_event(
        session,
        AuditEvent(
            action,
            viewer.user_id,
            viewer.tenant_id,
            viewer.origin,
            target=target,
            details=details,
        ),
    )
