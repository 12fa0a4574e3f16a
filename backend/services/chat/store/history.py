"""Queries on the history of conversations. The caller owns the transaction."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, tuple_, update
from sqlalchemy.orm import Session

from backend.chassis.database.types import utc_day
from backend.services.chat.model import HistoryFilter
from backend.services.chat.store.daily_stats import mark_days
from backend.services.chat.store.ended_sessions import end_sessions
from backend.services.chat.store.search import select_conversations_with
from backend.services.chat.store.tables import (
    Contact,
    Conversation,
    Message,
    Milestone,
    Participant,
    Reaction,
    TenantState,
)

_EQUAL = ("status", "channel", "account_id", "owner_id", "contact_id")


def list_conversations(
    session: Session,
    tenant_id: str,
    conditions: HistoryFilter,
    words: Sequence[str],
    limit: int,
    after: tuple[datetime, str] | None,
) -> Sequence[Conversation]:
    """Return conversations, most recently updated first.

    Args:
        words: the words of `conditions.text`.
        after: (updated_at, id) of the last conversation of the previous page, or None.
    """
    query = (
        select(Conversation)
        .where(*_build_conditions(session, tenant_id, conditions, words))
        .order_by(Conversation.updated_at.desc(), Conversation.id.desc())
        .limit(limit)
    )
    if conditions.since is not None:
        query = query.where(Conversation.updated_at >= conditions.since)
    if conditions.until is not None:
        query = query.where(Conversation.created_at < conditions.until)
    if after is not None:
        query = query.where(tuple_(Conversation.updated_at, Conversation.id) < after)
    return session.scalars(query).all()


def list_messages(
    session: Session,
    tenant_id: str,
    conditions: HistoryFilter,
    words: Sequence[str],
    limit: int,
    after: int,
) -> Sequence[tuple[Message, Conversation, str]]:
    """Return the messages of the matching conversations by number, with the contact's name.

    Args:
        after: number of the last message of the previous batch.
    """
    query = (
        select(Message, Conversation, Contact.name)
        .join(Conversation, Conversation.id == Message.conversation_id)
        .outerjoin(Contact, Contact.id == Conversation.contact_id)
        .where(
            Message.tenant_id == tenant_id,
            Message.number > after,
            *_build_conditions(session, tenant_id, conditions, words),
        )
        .order_by(Message.number)
        .limit(limit)
    )
    if conditions.since is not None:
        query = query.where(Message.created_at >= conditions.since)
    if conditions.until is not None:
        query = query.where(Message.created_at < conditions.until)
    return [(row[0], row[1], row[2] or "") for row in session.execute(query)]


def _build_conditions(
    session: Session, tenant_id: str, conditions: HistoryFilter, words: Sequence[str]
) -> list[ColumnElement[bool]]:
    result: list[ColumnElement[bool]] = [Conversation.tenant_id == tenant_id]
    for name in _EQUAL:
        value = getattr(conditions, name)
        if value is not None:
            result.append(getattr(Conversation, name) == value)
    if conditions.text is not None:
        matches: list[ColumnElement[bool]] = [
            # An encrypted title is not searched, but the words of the first message are.
            and_(
                Conversation.data_key_id.is_(None),
                Conversation.title.icontains(conditions.text, autoescape=True),
            )
        ]
        if words:
            found = select_conversations_with(session, tenant_id, words)
            matches.append(Conversation.id.in_(found))
        result.append(or_(*matches))
    return result


# Deletion


def list_owned_conversations(
    session: Session, tenant_id: str, limit: int, **owner: str
) -> Sequence[Conversation]:
    """Return conversations of a person: with `owner_id`, or with `contact_id` without groups."""
    query = select(Conversation).where(*_are_owned(tenant_id, owner))
    return session.scalars(query.limit(limit)).all()


def count_of_person(
    session: Session, tenant_id: str, actors: Sequence[str], **owner: str
) -> tuple[int, int]:
    """Return the numbers of conversations of a person, and of messages of *actors* in others.

    Args:
        owner: as for `list_owned_conversations`.
    """
    owned = select(Conversation.id).where(*_are_owned(tenant_id, owner))
    conversations = select(func.count()).select_from(owned.subquery())
    messages = select(func.count()).where(
        Message.tenant_id == tenant_id,
        Message.author.in_(actors),
        Message.conversation_id.not_in(owned),
    )
    return session.scalar(conversations) or 0, session.scalar(messages) or 0


def _are_owned(tenant_id: str, owner: Mapping[str, str]) -> list[ColumnElement[bool]]:
    return [
        Conversation.tenant_id == tenant_id,
        Conversation.is_group.is_(False),
        *(getattr(Conversation, name) == value for name, value in owner.items()),
    ]


def delete_messages_of_author(
    session: Session, tenant_id: str, author: str, limit: int | None, now: datetime
) -> int:
    """Delete up to *limit* messages of *author*, or with None all. Returns their number.

    The agent's copies of them are deleted too, and their days are counted again.
    """
    query = (
        select(Message.number, Message.conversation_id, utc_day(Message.created_at))
        .where(Message.tenant_id == tenant_id, Message.author == author)
        .order_by(Message.number)
        .limit(limit)
    )
    rows = session.execute(query).tuples().all()
    mark_days(session, tenant_id, {date.fromisoformat(day) for _, _, day in rows})
    _delete_messages(session, {number: conversation for number, conversation, _ in rows}, now)
    return len(rows)


def erase_actor(session: Session, tenant_id: str, actor: str, now: datetime) -> None:
    """Delete reactions and read positions of *actor*, and the messages that remain.

    Delete many messages in batches before.
    """
    delete_messages_of_author(session, tenant_id, actor, None, now)
    session.execute(
        delete(Reaction).where(Reaction.tenant_id == tenant_id, Reaction.actor == actor)
    )
    session.execute(
        delete(Participant).where(Participant.tenant_id == tenant_id, Participant.actor == actor)
    )


def clear_user_references(session: Session, tenant_id: str, user_id: str) -> None:
    """Set the columns of conversations and contacts that contain the id of a user to null."""
    for column in (Conversation.owner_id, Conversation.assignee_id, Contact.user_id):
        session.execute(
            update(column.class_)
            .where(column.class_.tenant_id == tenant_id, column == user_id)
            .values({column.key: None})
            .execution_options(synchronize_session=False)
        )


def count_messages(session: Session, conversation_id: str) -> int:
    return (
        session.scalar(select(func.count()).where(Message.conversation_id == conversation_id)) or 0
    )


# Retention


def list_tenants_with_retention(session: Session) -> Sequence[TenantState]:
    return session.scalars(
        select(TenantState)
        .where(TenantState.retention_days.is_not(None))
        .order_by(TenantState.tenant_id)
    ).all()


def delete_messages_before(
    session: Session, tenant_id: str, time: datetime, limit: int, now: datetime
) -> int:
    """Delete up to *limit* messages that were stored before *time*. Returns their number.

    The agent's copies of them are deleted too.
    """
    old = (
        select(Message.number, Message.conversation_id)
        .where(Message.tenant_id == tenant_id, Message.created_at < time)
        .order_by(Message.created_at)
        .limit(limit)
    )
    messages = dict(session.execute(old).tuples().all())
    _delete_messages(session, messages, now)
    return len(messages)


def _delete_messages(session: Session, messages: Mapping[int, str], now: datetime) -> None:
    """Delete messages, and queue the deletion of the agent's sessions, which contain them.

    Args:
        messages: ids of the conversations by number of the message.
    """
    if not messages:
        return
    end_sessions(session, now, conversation_ids=set(messages.values()))
    session.execute(
        delete(Message)
        .where(Message.number.in_(messages))
        .execution_options(synchronize_session=False)
    )


def list_conversations_before(
    session: Session, tenant_id: str, time: datetime, limit: int
) -> Sequence[Conversation]:
    """Return up to *limit* conversations whose last message is older than *time*."""
    return session.scalars(
        select(Conversation)
        .where(Conversation.tenant_id == tenant_id, Conversation.updated_at < time)
        .order_by(Conversation.updated_at)
        .limit(limit)
    ).all()


def delete_milestones_before(session: Session, tenant_id: str, time: datetime) -> None:
    session.execute(
        delete(Milestone).where(Milestone.tenant_id == tenant_id, Milestone.created_at < time)
    )


def is_deleted_until(state: TenantState, day: date) -> bool:
    return state.deleted_until is not None and state.deleted_until >= day
