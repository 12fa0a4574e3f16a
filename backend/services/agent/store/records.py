"""Questions asked of the records of runs. The caller owns the transaction."""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from backend.services.agent.store.tables import RunRecord


def add(session: Session, record: RunRecord, most: int) -> None:
    """Keep *record*, and of its conversation no more than the latest *most*."""
    session.merge(record)
    session.flush()
    latest = (
        select(RunRecord.run_id)
        .where(RunRecord.conversation_id == record.conversation_id)
        .order_by(RunRecord.created_at.desc(), RunRecord.run_id.desc())
        .limit(most)
    )
    session.execute(
        delete(RunRecord).where(
            RunRecord.conversation_id == record.conversation_id,
            RunRecord.run_id.not_in(latest.scalar_subquery()),
        )
    )


def find(session: Session, run_id: str) -> RunRecord | None:
    """The record of a run."""
    return session.get(RunRecord, run_id)
