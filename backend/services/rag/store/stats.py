"""Totals of stored documents over all tenants."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from backend.chassis.daily_counts import Period
from backend.chassis.database.types import utc_day
from backend.services.rag.store.collections import CollectionRow
from backend.services.rag.store.documents import DocumentRow


class StorageTotals(NamedTuple):
    """Number of documents, their bytes and their chunks."""

    documents: int = 0
    bytes: int = 0
    chunks: int = 0


def count_collections(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(CollectionRow)) or 0


def get_totals_by_status(session: Session) -> Mapping[str, StorageTotals]:
    rows = session.execute(
        select(DocumentRow.status, *_total_columns()).group_by(DocumentRow.status)
    )
    return {status: StorageTotals(*map(int, counts)) for status, *counts in rows}


def get_totals_by_day(session: Session, period: Period) -> Mapping[date, StorageTotals]:
    """Return totals by upload day, without documents that have been deleted since then."""
    day = utc_day(DocumentRow.created_at)
    rows = session.execute(
        select(day, *_total_columns())
        .where(DocumentRow.created_at >= period.start, DocumentRow.created_at < period.end)
        .group_by(day)
    )
    return {date.fromisoformat(day): StorageTotals(*map(int, counts)) for day, *counts in rows}


def get_user_totals_by_day(
    session: Session, tenant_id: str, user_id: str, period: Period
) -> Mapping[date, StorageTotals]:
    """Return the totals of a user's documents as `get_totals_by_day`."""
    day = utc_day(DocumentRow.created_at)
    rows = session.execute(
        select(day, *_total_columns())
        .where(
            DocumentRow.tenant_id == tenant_id,
            DocumentRow.owner_id == user_id,
            DocumentRow.created_at >= period.start,
            DocumentRow.created_at < period.end,
        )
        .group_by(day)
    )
    return {date.fromisoformat(day): StorageTotals(*map(int, counts)) for day, *counts in rows}


def get_last_upload(session: Session, tenant_id: str, user_id: str) -> datetime | None:
    """Return when the user uploaded the latest of its documents, or None."""
    return session.scalar(
        select(func.max(DocumentRow.created_at)).where(
            DocumentRow.tenant_id == tenant_id, DocumentRow.owner_id == user_id
        )
    )


def count_stalled_documents(session: Session, before: datetime) -> int:
    """Return the number of unfinished documents without upload or heartbeat since *before*."""
    last_activity = func.coalesce(DocumentRow.heartbeat, DocumentRow.created_at)
    unfinished = DocumentRow.status.in_(("queued", "processing"))
    return session.scalar(select(func.count()).where(unfinished, last_activity < before)) or 0


def _total_columns() -> tuple[ColumnElement[int], ...]:
    return func.count(), func.sum(DocumentRow.size_bytes), func.sum(DocumentRow.chunks)
