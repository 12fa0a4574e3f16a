"""Queries on messages, revisions and reactions. The caller owns the transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast

from sqlalchemy import Table, bindparam, delete, func, or_, select
from sqlalchemy.orm import Session, make_transient_to_detached

from backend.chassis.data_encryption.columns import seal_row
from backend.chassis.database.statements import CompiledStatement
from backend.services.chat.model import AGENT_ACTOR
from backend.services.chat.store.conversations import (
    insert_ignoring_conflicts,
    insert_or_ignore,
)
from backend.services.chat.store.sealed_columns import open_content
from backend.services.chat.store.tables import (
    Attachment,
    Conversation,
    Message,
    Reaction,
    Revision,
)

_TABLE: Final = cast(Table, Message.__table__)


class DuplicateMessage(Exception):
    """The conversation has a message with this external id, or with this client id."""


def add_message(session: Session, message: Message) -> None:
    """Insert *message*.

    Raises:
        DuplicateMessage: a unique key exists. Nothing of the transaction is lost.
    """
    session.flush()
    # One statement instead of a savepoint and a flush: it runs for each message.
    values = {name: value for name, value in vars(message).items() if name in _TABLE.columns}
    stored = seal_row(session, Message, message.tenant_id, values)
    row = insert_or_ignore(session, _TABLE, stored, returning="number").first()
    if row is None:
        raise DuplicateMessage
    message.number = row[0]
    message.data_key_id = stored.get("data_key_id")
    make_transient_to_detached(message)
    session.add(message)


def find_message(session: Session, conversation_id: str, message_id: str) -> Message | None:
    """Return the conversation's message, or None."""
    return session.scalar(
        select(Message).where(Message.conversation_id == conversation_id, Message.id == message_id)
    )


def get_message(session: Session, message_id: str) -> Message | None:
    """Return a message of any conversation that the session sees."""
    return session.scalar(
        select(Message).where(Message.id == message_id).execution_options(populate_existing=True)
    )


def find_by_client_id(
    session: Session, conversation_id: str, author: str, client_id: str
) -> Message | None:
    return session.scalar(
        select(Message).where(
            Message.conversation_id == conversation_id,
            Message.author == author,
            Message.client_id == client_id,
        )
    )


def find_by_external_id(session: Session, conversation_id: str, external_id: str) -> Message | None:
    """Return the message with the provider's id. Nearly always there is none."""
    parameters = {"conversation": conversation_id, "external": external_id}
    number = _FIND_EXTERNAL_NUMBER.execute(session, parameters).scalar()
    return None if number is None else session.get(Message, number)


# Statements that run for each received message are compiled once, and read no columns in vain.
_FIND_EXTERNAL_NUMBER: Final = CompiledStatement(
    select(_TABLE.c.number).where(
        _TABLE.c.conversation_id == bindparam("conversation"),
        _TABLE.c.external_id == bindparam("external"),
    )
)
_FIND_LAST_OUTBOUND: Final = CompiledStatement(
    select(_TABLE.c.id, _TABLE.c.content, _TABLE.c.created_at, _TABLE.c.data_key_id)
    .where(
        _TABLE.c.conversation_id == bindparam("conversation"),
        _TABLE.c.direction == "outbound",
        _TABLE.c.is_internal.is_(False),
    )
    .order_by(_TABLE.c.seq.desc())
    .limit(1)
)


def find_last_outbound(
    session: Session, conversation_id: str
) -> tuple[Mapping[str, Any], datetime] | None:
    """Return content and time of the last message to the contact, or None."""
    row = _FIND_LAST_OUTBOUND.execute(session, {"conversation": conversation_id}).first()
    if row is None:
        return None
    return open_content(session, row.id, row.content, row.data_key_id), row.created_at


def find_waiting_since(session: Session, conversation_id: str) -> tuple[datetime | None, bool]:
    """Return when the first message without an answer arrived, and whether there are answers.

    The time is None if no message waits for an answer.
    """
    last_answer = session.scalar(
        select(Message.seq)
        .where(
            Message.conversation_id == conversation_id,
            Message.direction == "outbound",
            Message.is_internal.is_(False),
        )
        .order_by(Message.seq.desc())
        .limit(1)
    )
    waiting_since = session.scalar(
        select(Message.created_at)
        .where(
            Message.conversation_id == conversation_id,
            Message.direction == "inbound",
            Message.seq > (last_answer or 0),
        )
        .order_by(Message.seq)
        .limit(1)
    )
    return waiting_since, last_answer is not None


def find_answer_to(session: Session, conversation_id: str, seq: int) -> Message | None:
    """Return the agent's first message after message *seq*, or None."""
    return session.scalar(
        select(Message)
        .where(
            Message.conversation_id == conversation_id,
            Message.seq > seq,
            Message.author == "agent",
        )
        .order_by(Message.seq)
        .limit(1)
    )


def list_messages(
    session: Session,
    conversation_id: str,
    limit: int,
    *,
    after_seq: int | None = None,
    before_seq: int | None = None,
    with_internal: bool = True,
) -> Sequence[Message]:
    """Return messages by `seq`: the first ones after *after_seq*, else the last ones.

    They are in ascending order in both cases.
    """
    query = select(Message).where(Message.conversation_id == conversation_id).limit(limit)
    if not with_internal:
        query = query.where(Message.is_internal.is_(False))
    if after_seq is not None:
        return session.scalars(query.where(Message.seq > after_seq).order_by(Message.seq)).all()
    if before_seq is not None:
        query = query.where(Message.seq < before_seq)
    return session.scalars(query.order_by(Message.seq.desc())).all()[::-1]


def list_changed_messages(
    session: Session, conversation_id: str, after: int, limit: int, *, with_internal: bool
) -> Sequence[Message]:
    """Return the messages that changed after change *after*, in the order of their last change."""
    query = (
        select(Message)
        .where(Message.conversation_id == conversation_id, Message.change_seq > after)
        .order_by(Message.change_seq)
        .limit(limit)
    )
    if not with_internal:
        query = query.where(Message.is_internal.is_(False))
    return session.scalars(query).all()


def list_unanswered(
    session: Session, conversation_id: str, after_seq: int, limit: int
) -> Sequence[Message]:
    """Return inbound messages after *after_seq* that are not deleted, in display order."""
    return session.scalars(
        select(Message)
        .where(
            Message.conversation_id == conversation_id,
            Message.seq > after_seq,
            Message.direction == "inbound",
            Message.deleted_at.is_(None),
        )
        .order_by(Message.sent_at, Message.seq)
        .limit(limit)
    ).all()


def add_revision(session: Session, message: Message, now: datetime) -> None:
    """Keep the content of *message* before an edit."""
    session.add(
        Revision(
            tenant_id=message.tenant_id,
            message_id=message.id,
            content=message.content,
            replaced_at=now,
        )
    )


def delete_revisions(session: Session, message_id: str) -> None:
    session.execute(delete(Revision).where(Revision.message_id == message_id))


# Reactions


def add_reaction(session: Session, message: Message, actor: str, emoji: str, now: datetime) -> bool:
    """Add a reaction. Returns False if it exists."""
    result = session.execute(
        insert_ignoring_conflicts(session, Reaction).values(
            message_id=message.id,
            actor=actor,
            emoji=emoji,
            tenant_id=message.tenant_id,
            created_at=now,
        )
    )
    return bool(getattr(result, "rowcount", 0))


def remove_reactions(
    session: Session, message_id: str, actor: str, emoji: str | None
) -> Sequence[str]:
    """Remove the reaction *emoji* of *actor*, or all of them. Returns the removed ones."""
    query = delete(Reaction).where(Reaction.message_id == message_id, Reaction.actor == actor)
    if emoji is not None:
        query = query.where(Reaction.emoji == emoji)
    statement = query.returning(Reaction.emoji).execution_options(synchronize_session=False)
    return session.scalars(statement).all()


def list_reactions(session: Session, message_ids: Sequence[str]) -> dict[str, list[Reaction]]:
    """Return the reactions by message, oldest first."""
    reactions: dict[str, list[Reaction]] = {}
    for reaction in session.scalars(
        select(Reaction)
        .where(Reaction.message_id.in_(message_ids))
        .order_by(Reaction.created_at, Reaction.actor)
    ):
        reactions.setdefault(reaction.message_id, []).append(reaction)
    return reactions


def list_attachments(session: Session, message_ids: Sequence[str]) -> dict[str, list[Attachment]]:
    """Return the attachments by message in their order."""
    attachments: dict[str, list[Attachment]] = {}
    for attachment in session.scalars(
        select(Attachment)
        .where(Attachment.message_id.in_(message_ids))
        .order_by(Attachment.message_id, Attachment.position)
    ):
        attachments.setdefault(attachment.message_id, []).append(attachment)
    return attachments


def find_attachment(
    session: Session, conversation_id: str, attachment_id: str, *, with_internal: bool
) -> Attachment | None:
    """Return the attachment of a message of the conversation, or None."""
    query = (
        select(Attachment)
        .join(Message, Message.id == Attachment.message_id)
        .where(Attachment.id == attachment_id, Attachment.conversation_id == conversation_id)
        .where(Message.deleted_at.is_(None))
    )
    if not with_internal:
        query = query.where(Message.is_internal.is_(False))
    return session.scalar(query)


def list_inbound_times(
    session: Session, tenant_id: str, author: str, since: datetime, limit: int
) -> Sequence[datetime]:
    """Return when inbound messages of *author* after *since* arrived, newest first."""
    return session.scalars(
        select(Message.created_at)
        .where(
            Message.tenant_id == tenant_id,
            Message.author == author,
            Message.direction == "inbound",
            Message.created_at > since,
        )
        .order_by(Message.number.desc())
        .limit(limit)
    ).all()


def list_answer_details(
    session: Session, conversation: Conversation, since: datetime, limit: int
) -> Sequence[dict[str, Any]]:
    """Return `details` of the agent's answers after *since* to the contact, newest first.

    Answers in all conversations of the contact count. Those in groups count for each group.
    """
    is_of_contact = Message.conversation_id == conversation.id
    if conversation.contact_id is not None:
        is_of_contact = Message.conversation_id.in_(
            select(Conversation.id).where(Conversation.contact_id == conversation.contact_id)
        )
    return session.scalars(
        select(Message.details)
        .where(is_of_contact, Message.author == AGENT_ACTOR, Message.created_at > since)
        .order_by(Message.number.desc())
        .limit(limit)
    ).all()


def has_pending_attachments(session: Session, message_ids: Sequence[str], since: datetime) -> bool:
    """Return whether a file of one of the messages is still downloaded.

    Files that were added before *since* count only if no worker has tried to download them yet.
    """
    query = select(Attachment.id).where(
        Attachment.message_id.in_(message_ids),
        Attachment.state == "pending",
        or_(Attachment.created_at > since, Attachment.attempts == 0),
    )
    return session.scalar(query.limit(1)) is not None


def count_messages(session: Session, tenant_id: str, since: datetime) -> dict[tuple[str, str], int]:
    """Return the numbers of messages since *since* by direction and state."""
    rows = session.execute(
        select(Message.direction, Message.state, func.count())
        .where(Message.tenant_id == tenant_id, Message.created_at >= since)
        .group_by(Message.direction, Message.state)
    )
    return {(direction, state): int(count) for direction, state, count in rows}
