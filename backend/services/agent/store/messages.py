"""Queries on messages, which form a tree. The caller owns the transaction."""

from collections.abc import Sequence

from sqlalchemy import Select, bindparam, func, literal, select, update
from sqlalchemy.orm import Session, aliased

from backend.services.agent.store.tables import Message


def list_messages(session: Session, conversation_id: str) -> Sequence[Message]:
    """Return all messages of all branches, oldest first."""
    return session.scalars(
        select(Message).where(Message.conversation_id == conversation_id).order_by(Message.position)
    ).all()


def find_message(session: Session, conversation_id: str, message_id: str) -> Message | None:
    """Return the message if it belongs to the conversation, or None."""
    return session.scalar(
        select(Message).where(Message.conversation_id == conversation_id, Message.id == message_id)
    )


def _build_path_query() -> Select[tuple[Message]]:
    start = (
        select(Message.id, Message.parent_id, literal(False).label("is_enough"))
        .where(Message.id == bindparam("message_id"))
        .cte("branch", recursive=True)
    )
    parent = aliased(Message)
    branch = start.union_all(
        select(parent.id, parent.parent_id, parent.summary.is_not(None)).where(
            parent.id == start.c.parent_id, start.c.is_enough.is_(False)
        )
    )
    return select(Message).join(branch, Message.id == branch.c.id).order_by(Message.position)


# Built once: an alias copies every column, and a statement with new aliases is compiled again.
_PATH = _build_path_query()


def get_path(session: Session, message_id: str) -> Sequence[Message]:
    """Return the branch that ends with *message_id*, in order.

    It starts with the last message before *message_id* that has a summary, or with the first one.
    """
    return session.scalars(_PATH, {"message_id": message_id}).all()


def find_run_message(session: Session, conversation_id: str, run_id: str | None) -> Message | None:
    """Return the message of *run_id*; None for the latest message of any run."""
    query = select(Message).where(Message.conversation_id == conversation_id)
    if run_id is not None:
        return session.scalar(query.where(Message.run_id == run_id))
    by_runs = query.where(Message.run_id.is_not(None))
    return session.scalar(by_runs.order_by(Message.position.desc()).limit(1))


def append_message(session: Session, message: Message) -> None:
    """Append *message*. Only the run that holds the lease may call this."""
    last = session.scalar(
        select(func.max(Message.position)).where(Message.conversation_id == message.conversation_id)
    )
    message.position = 0 if last is None else last + 1
    session.add(message)
    session.flush()


def mark_interrupted(session: Session, conversation_id: str) -> None:
    """Mark unfinished messages of killed runs as interrupted."""
    session.execute(
        update(Message)
        .where(Message.conversation_id == conversation_id, Message.status == "writing")
        .values(status="interrupted")
    )
