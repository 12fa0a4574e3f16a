"""Domain events of documents, recorded in the transaction of their change."""

from datetime import datetime

from backend.chassis.database.sessions import Session
from backend.chassis.messaging.event_types import EventData
from backend.chassis.messaging.outbox import EventRecorder
from backend.services.rag.events import DocumentFailed, DocumentReady
from backend.services.rag.store.documents import DocumentRow

_RECORDER = EventRecorder("rag")


def record_document_ready(session: Session, row: DocumentRow, now: datetime) -> None:
    """Record that the document is ready. Call it after the change."""
    data = DocumentReady(
        document_id=row.id,
        collection_id=row.collection_id,
        owner_id=row.owner_id,
        title=row.title,
        chunks=row.chunks,
        pages=row.pages,
        generation=row.generation,
    )
    _record_event(session, row, data, now)


def record_document_failed(session: Session, row: DocumentRow, now: datetime) -> None:
    """Record that the document failed. Call it after the change."""
    data = DocumentFailed(
        document_id=row.id,
        collection_id=row.collection_id,
        owner_id=row.owner_id,
        title=row.title,
        code=row.error_code or "",
        detail=row.error_detail or "",
    )
    _record_event(session, row, data, now)


def _record_event(session: Session, row: DocumentRow, data: EventData, now: datetime) -> None:
    _RECORDER.record_event(
        session, data, subject=row.id, key=row.id, tenant_id=row.tenant_id, time=now
    )
