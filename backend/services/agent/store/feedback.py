"""Queries on feedback. The caller owns the transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from backend.services.agent.store.tables import Feedback


@dataclass(frozen=True, slots=True)
class FeedbackFilters:
    """Filters of a feedback list; None matches any value."""

    thumb: str | None = None
    model: str | None = None
    user_id: str | None = None
    conversation_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def find_feedback(session: Session, message_id: str, user_id: str) -> Feedback | None:
    """Return the feedback of *user_id* on the message, or None."""
    return session.scalar(
        select(Feedback).where(Feedback.message_id == message_id, Feedback.user_id == user_id)
    )


def list_feedback(
    session: Session,
    tenant_id: str,
    filters: FeedbackFilters,
    limit: int,
    after: tuple[datetime, str] | None,
) -> Sequence[Feedback]:
    """Return the tenant's feedback, latest first.

    Args:
        after: (updated_at, id) of the last entry of the previous page, or None.
    """
    query = (
        select(Feedback)
        .where(Feedback.tenant_id == tenant_id)
        .order_by(Feedback.updated_at.desc(), Feedback.id.desc())
        .limit(limit)
    )
    for column, value in (
        (Feedback.thumb, filters.thumb),
        (Feedback.model, filters.model),
        (Feedback.user_id, filters.user_id),
        (Feedback.conversation_id, filters.conversation_id),
    ):
        if value is not None:
            query = query.where(column == value)
    if filters.since is not None:
        query = query.where(Feedback.updated_at >= filters.since)
    if filters.until is not None:
        query = query.where(Feedback.updated_at < filters.until)
    if after is not None:
        query = query.where(tuple_(Feedback.updated_at, Feedback.id) < after)
    return session.scalars(query).all()
