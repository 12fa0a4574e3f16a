"""Counts of recently active users and conversations of all tenants."""

from datetime import date, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.services.agent.store.tables import Conversation, Message, Usage


def count_active_since(session: Session, since: datetime) -> tuple[int, int]:
    """Return the numbers of users and of conversations with a request since *since*.

    The index on the time of messages limits the cost to the messages of this period.
    """
    recent = (
        select(Conversation.tenant_id, Conversation.owner_id, Conversation.id)
        .join(Message, Message.conversation_id == Conversation.id)
        .where(Message.created_at >= since, Message.role == "user")
        .distinct()
        .subquery()
    )
    users = select(recent.c.tenant_id, recent.c.owner_id).distinct().subquery()
    return (
        session.scalar(select(func.count()).select_from(users)) or 0,
        session.scalar(select(func.count()).select_from(recent)) or 0,
    )


def count_users_of_day(session: Session, day: date) -> int:
    """Return the number of users whose runs used tokens on *day* (UTC)."""
    users = select(Usage.tenant_id, Usage.user_id).where(Usage.day == day).distinct().subquery()
    return session.scalar(select(func.count()).select_from(users)) or 0


def count_conversations(session: Session) -> int:
    """Return the number of stored conversations."""
    return session.scalar(select(func.count()).select_from(Conversation)) or 0
