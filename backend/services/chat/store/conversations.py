"""Queries on conversations and participants. The caller owns the transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, cast

from sqlalchemy import (
    ClauseElement,
    ColumnElement,
    Compiled,
    CursorResult,
    Dialect,
    Insert,
    Row,
    Table,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningUpdate

from backend.chassis.data_encryption.columns import seal_row
from backend.chassis.database.statements import CompiledStatement, split_list
from backend.services.chat.model import ConversationFilter
from backend.services.chat.store.base import new_id
from backend.services.chat.store.delivery_locks import lock_active_deliveries
from backend.services.chat.store.tables import Conversation, Participant


@dataclass(frozen=True, slots=True)
class Position:
    """The last numbers of messages and changes of a conversation."""

    seq: int
    change_seq: int


@dataclass(frozen=True, slots=True)
class NewMessages:
    """The number of new messages of a conversation, and columns of it to set with them."""

    count: int
    values: Mapping[str, Any]


def insert_ignoring_conflicts(session: Session, table: Any) -> Insert:
    """Return an insert into *table* that skips rows which violate a unique constraint."""
    return _build_insert(session.get_bind().dialect.name, table)


@cache
def _build_insert(dialect: str, table: Any) -> Insert:
    if dialect == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def insert_or_ignore(
    session: Session, table: Table, rows: Sequence[Mapping[str, Any]], returning: Sequence[str]
) -> Sequence[Row[Any]]:
    """Insert rows except those that violate a unique constraint. Runs for each received message.

    SQLAlchemy compiles inserts that ignore conflicts again for each execution, which takes longer
    than the insert. So the compiled statement is kept.

    Args:
        rows: the values of columns by name. All rows have the same names.
        returning: columns of the inserted rows to return.
    """
    connection = session.connection()
    statement = _compile_insert(connection.dialect, table, tuple(sorted(rows[0])), tuple(returning))
    return connection.execute(statement, rows).all()  # type: ignore[call-overload,no-any-return] # compiled


@lru_cache(maxsize=64)
def _compile_insert(
    dialect: Dialect, table: Table, names: tuple[str, ...], returning: tuple[str, ...]
) -> Compiled:
    statement = _build_insert(dialect.name, table).returning(*(table.c[name] for name in returning))
    return statement.compile(dialect=dialect, column_keys=list(names), for_executemany=True)


def get_or_create_conversation(session: Session, row: dict[str, Any]) -> tuple[Conversation, bool]:
    """Return the conversation with the account and key of *row*, and whether it was created.

    Args:
        row: the columns of a new conversation without `id`.
    """
    query = select(Conversation).where(
        Conversation.account_id == row["account_id"], Conversation.key == row["key"]
    )
    found = session.scalar(query)
    if found is not None:
        return found, False
    conversation_id = new_id("conv")
    columns = seal_row(session, Conversation, row["tenant_id"], {"id": conversation_id, **row})
    session.execute(insert_ignoring_conflicts(session, Conversation).values(columns))
    created = session.scalars(query).one()
    return created, created.id == conversation_id


def find_conversation(
    session: Session, tenant_id: str, conversation_id: str
) -> Conversation | None:
    """Return the tenant's conversation, or None."""
    return session.scalar(
        select(Conversation).where(
            Conversation.id == conversation_id, Conversation.tenant_id == tenant_id
        )
    )


def lock_conversation(
    session: Session, tenant_id: str, conversation_id: str
) -> Conversation | None:
    """Return the conversation as `find_conversation`, locked until the transaction ends."""
    return session.scalar(
        select(Conversation)
        .where(Conversation.id == conversation_id, Conversation.tenant_id == tenant_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def list_conversations(
    session: Session,
    tenant_id: str,
    conditions: ConversationFilter,
    limit: int,
    after: tuple[datetime, str] | None,
) -> Sequence[Conversation]:
    """Return conversations, most recently updated first.

    Args:
        after: (updated_at, id) of the last conversation of the previous page, or None.
    """
    query = (
        select(Conversation)
        .where(Conversation.tenant_id == tenant_id)
        .order_by(Conversation.updated_at.desc(), Conversation.id.desc())
        .limit(limit)
    )
    for name in ConversationFilter.__slots__:
        value = getattr(conditions, name)
        if value is not None:
            query = query.where(_build_condition(name, value))
    if after is not None:
        query = query.where(tuple_(Conversation.updated_at, Conversation.id) < after)
    return session.scalars(query).all()


def _build_condition(name: str, value: Any) -> ColumnElement[bool]:
    if name == "ids":
        return Conversation.id.in_(value)
    if name == "is_assigned":
        column = Conversation.assignee_id
        return column.is_not(None) if value else column.is_(None)
    condition: ColumnElement[bool] = getattr(Conversation, name) == value
    return condition


def advance(
    session: Session, conversation_id: str, now: datetime, *, new_message: bool, **values: Any
) -> Position:
    """Number a change, and with *new_message* a message. Sets *values* in the same statement.

    The row stays locked until the transaction ends, so numbers are in the order of commits.
    """
    # Changes that are only states or read positions do not move the conversation up in the list.
    if new_message:
        values["updated_at"] = now
    expressions = {
        name: value for name, value in values.items() if isinstance(value, ClauseElement)
    }
    if not expressions:
        return _advance(session, [conversation_id], int(new_message), 1, values)[conversation_id]
    names = tuple(sorted(values.keys() - expressions.keys()))
    statement = _build_advance(names, 1).values(expressions)
    session.flush()  # not done for a statement on the table
    parameters = _get_parameters([conversation_id], int(new_message), 1, values, names)
    row = session.execute(statement, parameters).one()
    return Position(row[1], row[2])


def number_messages(
    session: Session, now: datetime, added: Mapping[str, NewMessages]
) -> Mapping[str, Position]:
    """Number new messages as `advance`, by the ids of their conversations.

    Returns:
        The numbers of the last new message of each conversation.
    """
    # Conversations with the same number of messages and the same values share a statement.
    groups: dict[Any, list[str]] = {}
    for conversation_id, new in added.items():
        shared = (new.count, *sorted(new.values.items()))
        key = shared if _is_hashable(shared) else conversation_id
        groups.setdefault(key, []).append(conversation_id)
    positions: dict[str, Position] = {}
    for conversation_ids in groups.values():
        new = added[conversation_ids[0]]
        values = {**new.values, "updated_at": now}
        for part in split_list(conversation_ids):
            positions |= _advance(session, part, new.count, new.count, values)
    return positions


def _is_hashable(values: object) -> bool:
    try:
        hash(values)
    except TypeError:
        return False
    return True


def _advance(
    session: Session,
    conversation_ids: Sequence[str],
    messages: int,
    changes: int,
    values: Mapping[str, Any],
) -> dict[str, Position]:
    names = tuple(sorted(values))
    statement = _compile_advance(names, len(conversation_ids))
    parameters = _get_parameters(conversation_ids, messages, changes, values, names)
    return {row[0]: Position(row[1], row[2]) for row in statement.execute(session, parameters)}


def _get_parameters(
    conversation_ids: Sequence[str],
    messages: int,
    changes: int,
    values: Mapping[str, Any],
    names: Iterable[str],
) -> dict[str, Any]:
    ids = {f"id_{index}": value for index, value in enumerate(conversation_ids)}
    new = {f"new_{name}": values[name] for name in names}
    return {**ids, **new, "messages": messages, "changes": changes}


@lru_cache(maxsize=256)
def _compile_advance(names: tuple[str, ...], count: int) -> CompiledStatement:
    """Return the statement that sets the columns *names*: it runs for each message."""
    return CompiledStatement(_build_advance(names, count))


def _build_advance(names: tuple[str, ...], count: int) -> ReturningUpdate[tuple[str, int, int]]:
    table = cast(Table, Conversation.__table__)
    columns = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
    statement = (
        update(table)
        .where(table.c.id.in_([bindparam(f"id_{index}") for index in range(count)]))
        .values(
            last_seq=table.c.last_seq + bindparam("messages"),
            change_seq=table.c.change_seq + bindparam("changes"),
            **columns,
        )
    )
    return statement.returning(table.c.id, table.c.last_seq, table.c.change_seq)


def update_conversation(session: Session, conversation_id: str, **values: Any) -> None:
    """Set columns that are no change for readers, such as the lease or the agent's session."""
    session.execute(
        update(Conversation)
        .where(Conversation.id == conversation_id)
        .values(**values)
        .execution_options(synchronize_session=False)
    )


def seal_title(session: Session, conversation: Conversation, title: str) -> dict[str, Any]:
    """Return the columns that set the title, which is encrypted if encryption is on."""
    row = {"id": conversation.id, "title": title}
    columns = seal_row(session, Conversation, conversation.tenant_id, row)
    del columns["id"]
    return columns


def delete_conversation(session: Session, conversation_id: str) -> None:
    """Delete the conversation with all its rows."""
    lock_active_deliveries(session, conversation_id=conversation_id)
    session.execute(delete(Conversation).where(Conversation.id == conversation_id))


# Work of the answering job


def has_due_conversation(session: Session, now: datetime) -> bool:
    """Return whether `lease_due_conversation` would find one."""
    query = select(Conversation.id).where(_is_answer_due(now)).limit(1)
    return session.scalar(query) is not None


def lease_due_conversation(
    session: Session, holder: str, now: datetime, until: datetime
) -> Conversation | None:
    """Lease the conversation whose answer is due for the longest time, or return None."""
    candidate = (
        select(Conversation.id)
        .where(_is_answer_due(now))
        .order_by(Conversation.answer_due_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    conversation_id = session.scalar(candidate)
    if conversation_id is None or not lease_conversation(
        session, conversation_id, holder, now, until
    ):
        return None
    return session.scalars(
        select(Conversation)
        .where(Conversation.id == conversation_id)
        .execution_options(populate_existing=True)
    ).one()


def _is_answer_due(now: datetime) -> ColumnElement[bool]:
    is_free = or_(Conversation.lease_until.is_(None), Conversation.lease_until < now)
    return and_(Conversation.answer_due_at <= now, is_free)


def lease_conversation(
    session: Session, conversation_id: str, holder: str, now: datetime, until: datetime
) -> bool:
    """Give *holder* the lease until *until*. Returns False if another one holds it."""
    result = session.execute(
        update(Conversation)
        .where(
            Conversation.id == conversation_id,
            or_(
                Conversation.lease_until.is_(None),
                Conversation.lease_until < now,
                Conversation.lease_holder == holder,
            ),
        )
        .values(lease_holder=holder, lease_until=until)
        .execution_options(synchronize_session=False)
    )
    return isinstance(result, CursorResult) and result.rowcount == 1


def renew_lease(session: Session, conversation_id: str, holder: str, until: datetime) -> None:
    """Extend the lease of *holder*, unless it has ended: a released conversation stays free."""
    session.execute(
        update(Conversation)
        .where(Conversation.id == conversation_id, Conversation.lease_holder == holder)
        .values(lease_until=until)
        .execution_options(synchronize_session=False)
    )


def holds_lease(session: Session, conversation_id: str, holder: str) -> bool:
    """Return whether *holder* has the lease. Locks the row until the transaction ends."""
    found = session.scalar(
        select(Conversation.lease_holder)
        .where(Conversation.id == conversation_id)
        .with_for_update()
    )
    return found == holder


def get_next_due_time(session: Session) -> datetime | None:
    """Return the earliest time at which an answer is due, or None."""
    due, lease = session.execute(
        select(Conversation.answer_due_at, Conversation.lease_until)
        .where(Conversation.answer_due_at.is_not(None))
        .order_by(Conversation.answer_due_at)
        .limit(1)
    ).first() or (None, None)
    return due if due is None or lease is None else max(due, lease)


def count_due(session: Session, tenant_id: str | None = None) -> int:
    """Return the number of conversations that wait for an answer, of one tenant or of all."""
    query = (
        select(func.count())
        .select_from(Conversation)
        .where(Conversation.answer_due_at.is_not(None))
    )
    if tenant_id is not None:
        query = query.where(Conversation.tenant_id == tenant_id)
    return session.scalar(query) or 0


# Participants


def join(session: Session, conversation: Conversation, actor: str, now: datetime) -> Participant:
    """Return the participant *actor*, after adding it if necessary."""
    key = (conversation.id, actor)
    found = session.get(Participant, key)
    if found is not None:
        return found
    session.execute(
        insert_ignoring_conflicts(session, Participant).values(
            conversation_id=conversation.id,
            actor=actor,
            tenant_id=conversation.tenant_id,
            read_seq=0,
            change_seq=0,
            joined_at=now,
        )
    )
    return session.get_one(Participant, key)


def list_participants(session: Session, conversation_id: str) -> Sequence[Participant]:
    return session.scalars(
        select(Participant)
        .where(Participant.conversation_id == conversation_id)
        .order_by(Participant.joined_at, Participant.actor)
    ).all()


def list_changed_participants(
    session: Session, conversation_id: str, after: int
) -> Sequence[Participant]:
    """Return the participants whose read position changed after change *after*."""
    return session.scalars(
        select(Participant).where(
            Participant.conversation_id == conversation_id, Participant.change_seq > after
        )
    ).all()
