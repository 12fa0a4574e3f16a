"""Queries on messages, which form a tree. The caller owns the transaction."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Select, Table, bindparam, func, select, update
from sqlalchemy.orm import Session, aliased

from backend.chassis.data_encryption.columns import KEY_COLUMN, seal_row
from backend.chassis.database.sessions import get_session_tenant
from backend.services.agent.store.tables import Conversation, Message

# Columns that a run writes.
ANSWER_COLUMNS: Final = (
    "text",
    "status",
    "finish_reason",
    "model",
    "citations",
    "steps",
    "prompt_tokens",
    "completion_tokens",
    "took_ms",
)
_MESSAGES: Final[Table] = Message.metadata.tables[Message.__tablename__]
_UPDATE_ANSWER: Final = (
    update(_MESSAGES)
    .where(_MESSAGES.c.id == bindparam("message_id"))
    .values({name: bindparam(name) for name in (*ANSWER_COLUMNS, KEY_COLUMN)})
)


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


def find_request(
    session: Session, tenant_id: str, owner_id: str, request_ref: str
) -> Message | None:
    """Return the owner's latest request with this reference, or None."""
    return session.scalar(
        select(Message)
        .join(Conversation, Conversation.id == Message.conversation_id)
        .where(
            Message.request_ref == request_ref,
            Message.role == "user",
            Conversation.tenant_id == tenant_id,
            Conversation.owner_id == owner_id,
        )
        .order_by(Message.created_at.desc(), Message.position.desc())
        .limit(1)
    )


def find_latest_answer(session: Session, request: Message) -> Message | None:
    """Return the latest answer to *request*, or None."""
    return session.scalar(
        select(Message)
        .where(
            Message.conversation_id == request.conversation_id,
            Message.parent_id == request.id,
            Message.role == "assistant",
        )
        .order_by(Message.position.desc())
        .limit(1)
    )


def _build_path_query() -> Select[tuple[Message]]:
    start = (
        select(Message.id, Message.parent_id, Message.summary.is_not(None).label("is_enough"))
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

    It starts with the last message that has a summary, or with the first one.
    """
    return session.scalars(_PATH, {"message_id": message_id}).all()


def find_run_message(session: Session, conversation_id: str, run_id: str | None) -> Message | None:
    """Return the message of *run_id*; None for the latest message of any run."""
    query = select(Message).where(Message.conversation_id == conversation_id)
    if run_id is not None:
        return session.scalar(query.where(Message.run_id == run_id))
    by_runs = query.where(Message.run_id.is_not(None))
    return session.scalar(by_runs.order_by(Message.position.desc()).limit(1))


def append_messages(
    session: Session, new_messages: Sequence[Message], position: int | None = None
) -> None:
    """Append messages of one conversation. Only the run that holds the lease may call this.

    Args:
        position: position of the first new message; None to read the last one from the database.
    """
    if position is None:
        last = session.scalar(
            select(func.max(Message.position)).where(
                Message.conversation_id == new_messages[0].conversation_id
            )
        )
        position = 0 if last is None else last + 1
    for number, message in enumerate(new_messages, position):
        message.position = number
    session.add_all(new_messages)
    session.flush()


def update_answer(session: Session, message_id: str, values: Mapping[str, Any]) -> None:
    """Set the columns ANSWER_COLUMNS of a message to *values*.

    Only the run that holds the lease may call this. The message has no summary, because a run
    summarizes earlier ones only: so all its encrypted columns get the same data key.
    """
    tenant_id = get_session_tenant(session)
    row = seal_row(session, Message, tenant_id, {KEY_COLUMN: None, "id": message_id, **values})
    session.execute(_UPDATE_ANSWER, {"message_id": row.pop("id"), **row})


def mark_interrupted(session: Session, conversation_id: str) -> None:
    """Mark unfinished messages of killed runs as interrupted."""
    session.execute(
        update(Message)
        .where(Message.conversation_id == conversation_id, Message.status == "writing")
        .values(status="interrupted")
    )
