"""Sessions of the agent that are to be deleted there. The caller owns the transaction."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import delete, func, literal, select
from sqlalchemy.orm import Session

from backend.chassis.database.types import UtcDateTime
from backend.services.chat.store.conversations import insert_ignoring_conflicts
from backend.services.chat.store.tables import Conversation, EndedSession
from backend.services.chat.store.work import announce_work


def end_sessions(
    session: Session,
    now: datetime,
    *,
    conversation_ids: Collection[str] | None = None,
    account_id: str | None = None,
) -> None:
    """Queue the deletion of the agent's sessions of the conversations that match all conditions.

    Call it before the conversations or their messages are deleted.
    """
    source = select(
        Conversation.agent_session_id, Conversation.tenant_id, literal(now, UtcDateTime())
    ).where(Conversation.agent_session_id.is_not(None))
    if conversation_ids is not None:
        source = source.where(Conversation.id.in_(conversation_ids))
    if account_id is not None:
        source = source.where(Conversation.account_id == account_id)
    session.execute(
        insert_ignoring_conflicts(session, EndedSession).from_select(
            ["session_id", "tenant_id", "ended_at"], source
        )
    )
    announce_work(session)


def list_ended_sessions(session: Session, limit: int) -> Sequence[str]:
    """Return the ids of sessions, those that ended first first."""
    return session.scalars(
        select(EndedSession.session_id).order_by(EndedSession.ended_at).limit(limit)
    ).all()


def remove_ended_sessions(session: Session, ids: Sequence[str]) -> None:
    session.execute(delete(EndedSession).where(EndedSession.session_id.in_(ids)))


def get_first_end(session: Session) -> datetime | None:
    """Return when the first session ended that is not deleted yet, or None."""
    return session.scalar(select(func.min(EndedSession.ended_at)))
