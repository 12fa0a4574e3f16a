"""Queries on run records. The caller owns the transaction."""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from backend.services.agent.store.tables import RunRecord


def add_record(session: Session, record: RunRecord, max_records: int) -> None:
    """Store *record*, and delete all but the latest *max_records* of its conversation."""
    session.merge(record)
    session.flush()
    latest = (
        select(RunRecord.run_id)
        .where(RunRecord.conversation_id == record.conversation_id)
        .order_by(RunRecord.created_at.desc(), RunRecord.run_id.desc())
        .limit(max_records)
    )
    session.execute(
        delete(RunRecord).where(
            RunRecord.conversation_id == record.conversation_id,
            RunRecord.run_id.not_in(latest.scalar_subquery()),
        )
    )


def find_record(session: Session, run_id: str) -> RunRecord | None:
    """Return the record of a run, or None."""
    return session.get(RunRecord, run_id)
