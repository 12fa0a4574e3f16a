"""The queue of documents to read: who reads what, who gave a sign of life, what comes next."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from backend.chassis.observability.tracing import here
from backend.security.http_errors import request_id_in_hand
from backend.services.rag.store.base import new_id
from backend.services.rag.store.documents import WAITING, DocumentRow, RemovalRow


def claim(session: Session, now: datetime) -> DocumentRow | None:
    """The document whose turn it is, now `processing` under a claim of its own; or None.

    Tenants take turns, whoever was served longest ago first; within a tenant the oldest
    upload is read first. So a tenant's thousands make nobody else wait for all of them.
    """
    for tenant_id in _waiting_tenants(session, now):
        row = session.scalar(
            select(DocumentRow)
            .where(_is_due(now), DocumentRow.tenant_id == tenant_id)
            .order_by(DocumentRow.id)
            .limit(1)
            # Of two readers that look at once, the second takes the next one.
            .with_for_update(skip_locked=True, of=DocumentRow)
        )
        if row is not None:
            row.status = "processing"
            row.claim = new_id("clm")
            row.heartbeat = now
            row.not_before = None
            row.attempts += 1
            return row
    return None


def is_due(session: Session, now: datetime) -> bool:
    """Whether any document waits and may be read now."""
    return bool(session.scalar(select(exists(select(DocumentRow.id).where(_is_due(now))))))


def last_heartbeat(session: Session) -> datetime | None:
    return session.scalar(select(func.max(DocumentRow.heartbeat)))


def by_status(session: Session) -> dict[str, int]:
    """How many documents there are of each status."""
    counted = select(DocumentRow.status, func.count()).group_by(DocumentRow.status)
    return dict(session.execute(counted).tuples().all())


def waiting_since(session: Session) -> datetime | None:
    """When the upload was made that has waited longest for its first reading."""
    return session.scalar(
        select(func.min(DocumentRow.created_at)).where(WAITING, DocumentRow.generation == 0)
    )


def claimed(session: Session, claim_id: str) -> DocumentRow | None:
    """The document that is read under *claim_id*, while that holds."""
    return session.scalar(select(DocumentRow).where(DocumentRow.claim == claim_id))


def beat(session: Session, claims: Sequence[str], now: datetime) -> set[str]:
    """Note a sign of life for *claims*; those of them that still hold."""
    held = set(session.scalars(select(DocumentRow.claim).where(DocumentRow.claim.in_(claims))))
    session.execute(update(DocumentRow).where(DocumentRow.claim.in_(held)).values(heartbeat=now))
    return {each for each in held if each is not None}


def lapsed(session: Session, before: datetime) -> Sequence[DocumentRow]:
    """What is claimed by readers that gave no sign of life since *before*."""
    silent = or_(DocumentRow.heartbeat.is_(None), DocumentRow.heartbeat < before)
    return session.scalars(
        select(DocumentRow)
        .where(DocumentRow.status == "processing", DocumentRow.claim.is_not(None), silent)
        .with_for_update(skip_locked=True, of=DocumentRow)
    ).all()


def read_anew(row: DocumentRow) -> None:
    """Put *row* into the queue from its beginning; whoever reads it now loses the claim."""
    release(row)
    row.status = row.stage = "queued"
    row.attempts = row.done = row.total = 0
    row.indexed = None
    row.error_code = row.error_detail = None
    note_asker(row)


def note_asker(row: DocumentRow) -> None:
    """Have *row* read for the request in hand, if there is one: its log and trace go on there."""
    if (request_id := request_id_in_hand()) is not None:
        place = here()
        row.request_id = request_id
        row.traceparent = None if place is None else place.traceparent


def release(row: DocumentRow, *, not_before: datetime | None = None) -> None:
    """Give up the claim; the reading goes on later, behind what of it is kept."""
    row.claim, row.not_before = None, not_before
    if row.indexed is None:
        row.status = row.stage = "queued"
        row.done = row.total = 0


def give_up(row: DocumentRow, code: str, detail: str) -> None:
    row.status, row.stage, row.claim, row.not_before = "failed", "failed", None, None
    row.sealed_password = None
    row.error_code, row.error_detail = code, detail[:500]


def moved_on(session: Session, document_id: str, generation: int) -> DocumentRow | None:
    """The document if a reading has gone beyond *generation*, or is about to."""
    return session.scalar(
        select(DocumentRow).where(
            DocumentRow.id == document_id,
            or_(DocumentRow.generation > generation, DocumentRow.indexed.is_not(None)),
        )
    )


def removals(session: Session, now: datetime, limit: int) -> Sequence[RemovalRow]:
    due = or_(RemovalRow.not_before.is_(None), RemovalRow.not_before <= now)
    return session.scalars(select(RemovalRow).where(due).order_by(RemovalRow.id).limit(limit)).all()


def drop_removals(session: Session, ids: Sequence[str]) -> None:
    session.execute(delete(RemovalRow).where(RemovalRow.id.in_(ids)))


def _is_due(now: datetime) -> ColumnElement[bool]:
    return and_(WAITING, or_(DocumentRow.not_before.is_(None), DocumentRow.not_before <= now))


def _waiting_tenants(session: Session, now: datetime) -> Iterator[str]:
    """Who has something due, the one served longest ago first."""
    served = aliased(DocumentRow)
    last = (
        select(func.max(served.heartbeat))
        .where(served.tenant_id == DocumentRow.tenant_id)
        .scalar_subquery()
    )
    waiting = select(DocumentRow.tenant_id).where(_is_due(now)).group_by(DocumentRow.tenant_id)
    turns = [(turn, tenant) for tenant, turn in session.execute(waiting.add_columns(last))]
    never, before = [t for t in turns if t[0] is None], [t for t in turns if t[0] is not None]
    yield from (tenant for _, tenant in (*never, *sorted(before)))
