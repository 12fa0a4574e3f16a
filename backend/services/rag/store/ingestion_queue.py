"""Ingestion queue in the documents table: claims, heartbeats, fair order and removals."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from backend.chassis.observability.tracing import build_trace_headers, current_span_context
from backend.security.request_ids import current_request_id
from backend.services.rag.store.base import new_id
from backend.services.rag.store.documents import (
    CLAIM_TIMEOUT_SECONDS,
    IS_WAITING,
    DocumentRow,
    RemovalRow,
)

MAX_RETRY_DELAY_SECONDS = 600


class ClaimedDocument(NamedTuple):
    """A claimed document. *is_first* is True if it was never claimed before."""

    row: DocumentRow
    is_first: bool


def claim_document(session: Session, now: datetime) -> ClaimedDocument | None:
    """Claim the next due document and return it, or None if no document is due.

    The tenant that was served least recently comes first, and of this tenant the oldest upload.
    Thousands of uploads of one tenant therefore do not delay other tenants.
    """
    for tenant_id in _waiting_tenants(session, now):
        row = session.scalar(
            select(DocumentRow)
            .where(_is_due(now), DocumentRow.tenant_id == tenant_id)
            .order_by(DocumentRow.id)
            .limit(1)
            # Of two concurrent workers, the second skips the locked document.
            .with_for_update(skip_locked=True, of=DocumentRow)
        )
        if row is not None:
            is_first = row.heartbeat is None
            row.status = "processing"
            row.claim = new_id("clm")
            row.heartbeat = now
            row.not_before = None
            row.attempts += 1
            return ClaimedDocument(row, is_first)
    return None


def has_due_document(session: Session, now: datetime) -> bool:
    """Return True if at least one document waits whose delay is over."""
    return bool(session.scalar(select(exists(select(DocumentRow.id).where(_is_due(now))))))


def get_due_document(session: Session, now: datetime) -> DocumentRow | None:
    """Return a due document, or None. Another one may be claimed first."""
    return session.scalar(select(DocumentRow).where(_is_due(now)).limit(1))


def has_due_or_claimed_document(session: Session, now: datetime) -> bool:
    """Return True if a document waits whose delay is over, or if one is being processed."""
    # Two queries, so that each uses an index.
    claimed = select(DocumentRow.id).where(
        DocumentRow.status == "processing", DocumentRow.claim.is_not(None)
    )
    return has_due_document(session, now) or bool(session.scalar(select(exists(claimed))))


def has_unfinished_work(session: Session) -> bool:
    """Return True if a document is not ready and has not failed, or if a removal is pending."""
    unfinished = select(DocumentRow.id).where(DocumentRow.status.in_(("queued", "processing")))
    return bool(
        session.scalar(select(exists(unfinished)))
        or session.scalar(select(exists(select(RemovalRow.id))))
    )


def get_last_heartbeat(session: Session) -> datetime | None:
    return session.scalar(select(func.max(DocumentRow.heartbeat)))


def count_by_status(session: Session) -> dict[str, int]:
    """Return the number of documents by status."""
    query = select(DocumentRow.status, func.count()).group_by(DocumentRow.status)
    return dict(session.execute(query).tuples().all())


def get_oldest_upload_time(session: Session) -> datetime | None:
    """Return the upload time of the oldest document that waits for its first ingestion."""
    return session.scalar(
        select(func.min(DocumentRow.created_at)).where(IS_WAITING, DocumentRow.generation == 0)
    )


def get_claimed_document(session: Session, claim_id: str) -> DocumentRow | None:
    """Return the document with the claim *claim_id*, or None if the claim was lost."""
    return session.scalar(select(DocumentRow).where(DocumentRow.claim == claim_id))


def record_heartbeat(session: Session, claims: Sequence[str], now: datetime) -> set[str]:
    """Record a heartbeat for *claims* and return those that are still valid."""
    valid = set(session.scalars(select(DocumentRow.claim).where(DocumentRow.claim.in_(claims))))
    session.execute(update(DocumentRow).where(DocumentRow.claim.in_(valid)).values(heartbeat=now))
    return {claim for claim in valid if claim is not None}


def list_expired_claims(session: Session, now: datetime) -> Sequence[DocumentRow]:
    """Return and lock the documents whose claim had no heartbeat for CLAIM_TIMEOUT_SECONDS.

    A heartbeat more than CLAIM_TIMEOUT_SECONDS in the future also counts as expired: it was
    recorded before the clock was set back.
    """
    timeout = timedelta(seconds=CLAIM_TIMEOUT_SECONDS)
    expired = or_(
        DocumentRow.heartbeat.is_(None),
        DocumentRow.heartbeat < now - timeout,
        DocumentRow.heartbeat > now + timeout,
    )
    return session.scalars(
        select(DocumentRow)
        .where(DocumentRow.status == "processing", DocumentRow.claim.is_not(None), expired)
        .with_for_update(skip_locked=True, of=DocumentRow)
    ).all()


def requeue_document(row: DocumentRow) -> None:
    """Requeue *row* from the first stage. A worker that processes it loses its claim."""
    release_claim(row)
    row.status = row.stage = "queued"
    row.attempts = row.done = row.total = 0
    row.indexed = None
    row.error_code = row.error_detail = None
    record_request(row)


def record_request(row: DocumentRow) -> None:
    """Store the id and trace context of the current request, if any.

    The worker logs under this id and continues the trace.
    """
    if (request_id := current_request_id()) is not None:
        row.request_id = request_id
        row.traceparent = build_trace_headers(current_span_context()).get("traceparent")


def release_claim(row: DocumentRow, *, not_before: datetime | None = None) -> None:
    """Release the claim. Ingestion resumes later after the last indexed batch."""
    row.claim, row.not_before = None, not_before
    if row.indexed is None:
        row.status = row.stage = "queued"
        row.done = row.total = 0


def mark_failed(row: DocumentRow, code: str, detail: str) -> None:
    """Set the status `failed` and delete the password of the file."""
    row.status, row.stage, row.claim, row.not_before = "failed", "failed", None, None
    row.sealed_password = None
    row.error_code, row.error_detail = code, detail[:500]


def get_reprocessed_document(
    session: Session, document_id: str, generation: int
) -> DocumentRow | None:
    """Return the document if a generation after *generation* is complete or is being indexed."""
    return session.scalar(
        select(DocumentRow).where(
            DocumentRow.id == document_id,
            or_(DocumentRow.generation > generation, DocumentRow.indexed.is_not(None)),
        )
    )


def list_due_removals(session: Session, now: datetime, limit: int) -> Sequence[RemovalRow]:
    latest = now + timedelta(seconds=CLAIM_TIMEOUT_SECONDS)
    due = or_(
        RemovalRow.not_before.is_(None),
        RemovalRow.not_before <= now,
        RemovalRow.not_before > latest,  # set before the clock was set back
    )
    return session.scalars(select(RemovalRow).where(due).order_by(RemovalRow.id).limit(limit)).all()


def delete_removals(session: Session, ids: Sequence[str]) -> None:
    session.execute(delete(RemovalRow).where(RemovalRow.id.in_(ids)))


def _is_due(now: datetime) -> ColumnElement[bool]:
    latest = now + timedelta(seconds=MAX_RETRY_DELAY_SECONDS)
    is_due = or_(
        DocumentRow.not_before.is_(None),
        DocumentRow.not_before <= now,
        DocumentRow.not_before > latest,  # set before the clock was set back
    )
    return and_(IS_WAITING, is_due)


# Create the alias once: it copies all columns, and a statement with a new alias is compiled again.
_SERVED = aliased(DocumentRow)


def _waiting_tenants(session: Session, now: datetime) -> Iterator[str]:
    """Yield the tenants with due documents, the least recently served first."""
    last_served = (
        select(func.max(_SERVED.heartbeat))
        .where(_SERVED.tenant_id == DocumentRow.tenant_id)
        .scalar_subquery()
    )
    waiting = select(DocumentRow.tenant_id).where(_is_due(now)).group_by(DocumentRow.tenant_id)
    rows = session.execute(waiting.add_columns(last_served)).all()
    # Sort in Python: databases order NULL differently.
    never_served = [tenant_id for tenant_id, served_at in rows if served_at is None]
    by_time = sorted(
        (served_at, tenant_id) for tenant_id, served_at in rows if served_at is not None
    )
    yield from never_served
    yield from (tenant_id for _, tenant_id in by_time)
