"""Questions asked of messages, which form a tree. The caller owns the transaction."""

from collections.abc import Sequence

from sqlalchemy import func, literal, select, update
from sqlalchemy.orm import Session, aliased

from backend.services.agent.store.tables import Message


def of(session: Session, conversation_id: str) -> Sequence[Message]:
    """All messages of all branches, in the order they were begun."""
    return session.scalars(
        select(Message).where(Message.conversation_id == conversation_id).order_by(Message.position)
    ).all()


def find(session: Session, conversation_id: str, message_id: str) -> Message | None:
    """The conversation's message."""
    return session.scalar(
        select(Message).where(Message.conversation_id == conversation_id, Message.id == message_id)
    )


def path(session: Session, message_id: str) -> Sequence[Message]:
    """The branch that ends in *message_id*, in order, from the last message with a summary on."""
    start = (
        select(Message.id, Message.parent_id, literal(False).label("is_enough"))
        .where(Message.id == message_id)
        .cte("way", recursive=True)
    )
    parent = aliased(Message)
    way = start.union_all(
        select(parent.id, parent.parent_id, parent.summary.is_not(None)).where(
            parent.id == start.c.parent_id, start.c.is_enough.is_(False)
        )
    )
    return session.scalars(
        select(Message).join(way, Message.id == way.c.id).order_by(Message.position)
    ).all()


def written_by(session: Session, conversation_id: str, run_id: str | None) -> Message | None:
    """The message that *run_id* writes, or for None the last that any run wrote."""
    wanted = select(Message).where(Message.conversation_id == conversation_id)
    if run_id is not None:
        return session.scalar(wanted.where(Message.run_id == run_id))
    by_runs = wanted.where(Message.run_id.is_not(None))
    return session.scalar(by_runs.order_by(Message.position.desc()).limit(1))


def append(session: Session, message: Message) -> None:
    """Add *message* as the newest; only the run that holds the conversation may."""
    last = session.scalar(
        select(func.max(Message.position)).where(Message.conversation_id == message.conversation_id)
    )
    message.position = 0 if last is None else last + 1
    session.add(message)
    session.flush()


def interrupt(session: Session, conversation_id: str) -> None:
    """Mark what a run that lives no more has left half written."""
    session.execute(
        update(Message)
        .where(Message.conversation_id == conversation_id, Message.status == "writing")
        .values(status="interrupted")
    )
