"""Questions asked of feedback. The caller owns the transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from backend.services.agent.store.tables import Feedback


@dataclass(frozen=True, slots=True)
class Filters:
    """Which feedback is wanted; None asks for any."""

    thumb: str | None = None
    model: str | None = None
    user_id: str | None = None
    conversation_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def find(session: Session, message_id: str, user_id: str) -> Feedback | None:
    """What *user_id* thinks of the message."""
    return session.scalar(
        select(Feedback).where(Feedback.message_id == message_id, Feedback.user_id == user_id)
    )


def page_of(
    session: Session,
    tenant_id: str,
    filters: Filters,
    limit: int,
    after: tuple[datetime, str] | None,
) -> Sequence[Feedback]:
    """The tenant's feedback, the latest first, from behind *after*."""
    wanted = (
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
            wanted = wanted.where(column == value)
    if filters.since is not None:
        wanted = wanted.where(Feedback.updated_at >= filters.since)
    if filters.until is not None:
        wanted = wanted.where(Feedback.updated_at < filters.until)
    if after is not None:
        wanted = wanted.where(tuple_(Feedback.updated_at, Feedback.id) < after)
    return session.scalars(wanted).all()
