"""Queries on the jobs that transcribe recordings and synthesize answers.

The caller owns the transaction.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from backend.services.chat.store.tables import VoiceJob

TRANSCRIPTION: Final = "transcription"
SPEECH: Final = "speech"
_OPEN: Final = ("pending", "running")


def add_job(session: Session, job: VoiceJob) -> None:
    session.add(job)
    session.flush()


def has_due_job(session: Session, now: datetime) -> bool:
    """Return whether `claim_job` would find one."""
    query = select(VoiceJob.id).where(VoiceJob.state.in_(_OPEN), VoiceJob.next_attempt_at <= now)
    return session.scalar(query.limit(1)) is not None


def claim_job(session: Session, holder: str, now: datetime, until: datetime) -> VoiceJob | None:
    """Lease the job that has been due for the longest time until *until*, or return None."""
    job = session.scalar(
        select(VoiceJob)
        .where(VoiceJob.state.in_(_OPEN), VoiceJob.next_attempt_at <= now)
        .order_by(VoiceJob.next_attempt_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if job is None:
        return None
    job.state, job.lease_holder, job.next_attempt_at = "running", holder, until
    job.attempts += 1
    job.updated_at = now
    session.flush()
    return job


def renew_lease(session: Session, job_id: str, holder: str, until: datetime) -> bool:
    """Extend a lease. Returns False if another worker has the job, or it was deleted."""
    return _update_leased(session, job_id, holder, {"next_attempt_at": until})


def finish_job(
    session: Session, job_id: str, holder: str, values: Mapping[str, Any], now: datetime
) -> bool:
    """Set *values* and end the lease. Returns False if another worker has the job."""
    return _update_leased(
        session, job_id, holder, {"lease_holder": None, "updated_at": now, **values}
    )


def _update_leased(session: Session, job_id: str, holder: str, values: Mapping[str, Any]) -> bool:
    result = session.execute(
        update(VoiceJob)
        .where(VoiceJob.id == job_id, VoiceJob.lease_holder == holder)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    return bool(getattr(result, "rowcount", 0))


def get_next_due_time(session: Session) -> datetime | None:
    """Return the time at which the next job is due, or the next lease ends, or None."""
    return session.scalar(
        select(func.min(VoiceJob.next_attempt_at)).where(VoiceJob.state.in_(_OPEN))
    )


def has_open_transcriptions(session: Session, message_ids: Sequence[str]) -> bool:
    """Return whether a recording of one of the messages is still transcribed."""
    query = select(VoiceJob.id).where(
        VoiceJob.message_id.in_(message_ids),
        VoiceJob.kind == TRANSCRIPTION,
        VoiceJob.state.in_(_OPEN),
    )
    return session.scalar(query.limit(1)) is not None


def list_transcriptions(session: Session, message_ids: Sequence[str]) -> dict[str, VoiceJob]:
    """Return the transcriptions of recordings by attachment."""
    rows = session.scalars(
        select(VoiceJob).where(VoiceJob.message_id.in_(message_ids), VoiceJob.kind == TRANSCRIPTION)
    )
    return {row.attachment_id: row for row in rows if row.attachment_id is not None}


def delete_jobs(session: Session, message_id: str) -> None:
    """Delete the jobs of a message with their transcripts."""
    session.execute(delete(VoiceJob).where(VoiceJob.message_id == message_id))
