"""Questions asked of conversations, and the hold on them. The caller owns the transaction."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import CursorResult, delete, or_, select, tuple_, update
from sqlalchemy.orm import Session

from backend.services.agent.store.tables import Conversation, Message


def find(
    session: Session, tenant_id: str, owner_id: str, conversation_id: str
) -> Conversation | None:
    """The owner's conversation; None for what is not there and for what is someone else's."""
    return session.scalar(
        select(Conversation).where(
            Conversation.id == conversation_id,
            Conversation.tenant_id == tenant_id,
            Conversation.owner_id == owner_id,
        )
    )


def page_of(
    session: Session,
    tenant_id: str,
    owner_id: str,
    limit: int,
    after: tuple[datetime, str] | None,
    containing: str | None,
) -> Sequence[Conversation]:
    """The owner's conversations, the most recently used first, from behind *after*.

    With *containing*, those alone that hold this text in their title or in a message.
    """
    wanted = (
        select(Conversation)
        .where(Conversation.tenant_id == tenant_id, Conversation.owner_id == owner_id)
        .order_by(Conversation.updated_at.desc(), Conversation.id.desc())
        .limit(limit)
    )
    if after is not None:
        wanted = wanted.where(tuple_(Conversation.updated_at, Conversation.id) < after)
    if containing is not None:
        said = select(Message.id).where(
            Message.conversation_id == Conversation.id,
            Message.text.icontains(containing, autoescape=True),
        )
        wanted = wanted.where(
            or_(Conversation.title.icontains(containing, autoescape=True), said.exists())
        )
    return session.scalars(wanted).all()


def claim(
    session: Session, conversation_id: str, run_id: str, now: datetime, until: datetime
) -> bool:
    """Let *run_id* hold the conversation, unless another run does."""
    # One statement decides, so of two runs that come at once only one gets it.
    result = session.execute(
        update(Conversation)
        .where(
            Conversation.id == conversation_id,
            or_(Conversation.run_id.is_(None), Conversation.run_until < now),
        )
        .values(run_id=run_id, run_until=until, cancel_asked=False)
    )
    return isinstance(result, CursorResult) and result.rowcount == 1


def release(session: Session, conversation_id: str, run_id: str) -> bool:
    """End *run_id*'s hold; False if it holds the conversation no more."""
    result = session.execute(
        update(Conversation)
        .where(Conversation.id == conversation_id, Conversation.run_id == run_id)
        .values(run_id=None, run_until=None, cancel_asked=False)
    )
    return isinstance(result, CursorResult) and result.rowcount == 1


def held_until(session: Session, conversation_id: str, run_id: str) -> datetime | None:
    """The end of *run_id*'s hold; None if it was asked to stop or holds nothing any more."""
    return session.scalar(
        select(Conversation.run_until).where(
            Conversation.id == conversation_id,
            Conversation.run_id == run_id,
            Conversation.cancel_asked.is_(False),
        )
    )


def extend(session: Session, conversation_id: str, run_id: str, until: datetime) -> bool:
    """Let *run_id* hold the conversation until *until*; False if it holds it no more."""
    result = session.execute(
        update(Conversation)
        .where(Conversation.id == conversation_id, Conversation.run_id == run_id)
        .values(run_until=until)
    )
    return isinstance(result, CursorResult) and result.rowcount == 1


def remove(session: Session, conversation_id: str) -> None:
    """Delete the conversation with all its messages."""
    session.execute(delete(Conversation).where(Conversation.id == conversation_id))
