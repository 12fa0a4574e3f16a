"""How much the library holds, all tenants together."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from backend.chassis.daily_counts import Period
from backend.chassis.database.sessions import utc_day
from backend.services.rag.store.collections import CollectionRow
from backend.services.rag.store.documents import DocumentRow


class Held(NamedTuple):
    """Documents, their bytes and their passages."""

    documents: int = 0
    bytes: int = 0
    chunks: int = 0


def collections(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(CollectionRow)) or 0


def by_status(session: Session) -> Mapping[str, Held]:
    rows = session.execute(select(DocumentRow.status, *_held()).group_by(DocumentRow.status))
    return {status: Held(*map(int, counts)) for status, *counts in rows}


def by_day(session: Session, period: Period) -> Mapping[date, Held]:
    """What came on each day and is still there."""
    day = utc_day(DocumentRow.created_at)
    rows = session.execute(
        select(day, *_held())
        .where(DocumentRow.created_at >= period.begin, DocumentRow.created_at < period.end)
        .group_by(day)
    )
    return {date.fromisoformat(day): Held(*map(int, counts)) for day, *counts in rows}


def waiting_since(session: Session, moment: datetime) -> int:
    """How many came before *moment*, and nobody has begun with them or lives on at them."""
    heard = func.coalesce(DocumentRow.heartbeat, DocumentRow.created_at)
    waiting = DocumentRow.status.in_(("queued", "processing"))
    return session.scalar(select(func.count()).where(waiting, heard < moment)) or 0


def _held() -> tuple[ColumnElement[int], ...]:
    return func.count(), func.sum(DocumentRow.size_bytes), func.sum(DocumentRow.chunks)
