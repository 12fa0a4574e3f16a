"""Queries on messages, revisions and reactions. The caller owns the transaction."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final, cast

from sqlalchemy import ColumnElement, Table, bindparam, delete, func, or_, select
from sqlalchemy.orm import Session, class_mapper

from backend.chassis.data_encryption.columns import seal_row
from backend.chassis.database.statements import (
    CompiledStatement,
    add_stored_instance,
    bind_pairs,
    is_one_of_pairs,
    split_list,
)
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


def add_messages(session: Session, messages: Sequence[Mapping[str, Any]]) -> Mapping[str, Message]:
    """Insert messages except those whose external id or client id the conversation has.

    Args:
        messages: the columns of each message except `number` and `data_key_id`.

    Returns:
        The inserted messages by their ids.
    """
    session.flush()
    # One statement instead of savepoints and flushes: it runs for each message.
    rows = [
        {"data_key_id": None, **seal_row(session, Message, message["tenant_id"], message)}
        for message in messages
    ]
    numbers = {row[0]: row[1] for row in insert_or_ignore(session, _TABLE, rows, ("id", "number"))}
    mapper = class_mapper(Message)
    return {
        message["id"]: add_stored_instance(
            session,
            mapper,
            {**message, "number": numbers[message["id"]], "data_key_id": row["data_key_id"]},
        )
        for message, row in zip(messages, rows, strict=True)
        if message["id"] in numbers
    }


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


def find_by_external_ids(
    session: Session, ids: Collection[tuple[str, str]]
) -> Mapping[tuple[str, str], Message]:
    """Return the messages with the provider's *ids*. Nearly always there are none.

    Args:
        ids: pairs of a conversation and an external id, which are the keys of the result.
    """
    found: dict[tuple[str, str], Message] = {}
    for part in split_list(ids):
        for row in _build_external_query(len(part)).execute(session, bind_pairs(part)).all():
            found[(row[1], row[2])] = session.get_one(Message, row[0])
    return found


# Statements that run for each received message are compiled once, and read no columns in vain.
@cache
def _build_external_query(count: int) -> CompiledStatement:
    is_wanted = is_one_of_pairs(_TABLE.c.conversation_id, _TABLE.c.external_id, count)
    columns = (_TABLE.c.number, _TABLE.c.conversation_id, _TABLE.c.external_id)
    return CompiledStatement(select(*columns).where(is_wanted))


@cache
def _build_outbound_query(count: int) -> CompiledStatement:
    """Return the query for the last outbound message of each of *count* conversations."""
    conversations = cast(Table, Conversation.__table__)
    outbound = _TABLE.alias("outbound")
    last_number = (
        select(outbound.c.number)
        .where(
            outbound.c.conversation_id == conversations.c.id,
            outbound.c.direction == "outbound",
            outbound.c.is_internal.is_(False),
        )
        .order_by(outbound.c.seq.desc())
        .limit(1)
        .scalar_subquery()
    )
    ids: list[ColumnElement[str]] = [bindparam(f"id_{index}") for index in range(count)]
    numbers = select(last_number).where(conversations.c.id.in_(ids))
    columns = ("conversation_id", "id", "content", "created_at", "data_key_id")
    return CompiledStatement(
        select(*(_TABLE.c[name] for name in columns)).where(_TABLE.c.number.in_(numbers))
    )


def find_last_outbound(
    session: Session, conversation_ids: Collection[str]
) -> Mapping[str, tuple[Mapping[str, Any], datetime]]:
    """Return content and time of the last message to the contact, by conversation."""
    found: dict[str, tuple[Mapping[str, Any], datetime]] = {}
    for part in split_list(conversation_ids):
        parameters = {f"id_{index}": value for index, value in enumerate(part)}
        for row in _build_outbound_query(len(part)).execute(session, parameters).all():
            content = open_content(session, row.id, row.content, row.data_key_id)
            found[row.conversation_id] = (content, row.created_at)
    return found


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
