"""Details of conversations in lists: contact, account, last message and read position.

The caller owns the transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final, cast

from sqlalchemy import Row, Select, Table, and_, bindparam, func, select
from sqlalchemy.orm import Session

from backend.services.chat.store.sealed_columns import open_content
from backend.services.chat.store.tables import (
    Account,
    Contact,
    Conversation,
    Message,
    Participant,
)


@dataclass(frozen=True, slots=True)
class LastMessage:
    """The last message of a conversation."""

    seq: int
    author: str
    direction: str
    is_internal: bool
    content: Mapping[str, Any]
    state: str
    sent_at: datetime
    is_deleted: bool


@dataclass(frozen=True, slots=True)
class ListDetails:
    """Details of one conversation in a list. `read_seq` is the reader's position."""

    read_seq: int
    contact_name: str
    account_name: str
    account_state: str
    last_message: LastMessage | None


def load_list_details(
    session: Session, ids: Sequence[str], actor: str, *, with_internal: bool
) -> dict[str, ListDetails]:
    """Return the details of conversations by id, with one query or two.

    Args:
        actor: the reader.
        with_internal: whether an internal note can be the last message.
    """
    if not ids:
        return {}
    rows = session.execute(
        _build_query(with_internal=with_internal), {"conversations": ids, "actor": actor}
    ).all()
    # The last number has no message that is visible: it is a note, or it was not used.
    missing = [row.id for row in rows if row.last_seq and row.seq is None]
    earlier = _list_last_messages(session, missing, with_internal=with_internal) if missing else {}
    return {
        row.id: ListDetails(
            read_seq=row.read_seq or 0,
            contact_name=row.contact_name or "",
            account_name=row.account_name or "",
            account_state=row.account_state or "stopped",
            last_message=earlier.get(row.id) if row.seq is None else _to_last_message(session, row),
        )
        for row in rows
    }


# Columns of tables, not attributes of classes: a list builds no objects for their rows.
_CONVERSATIONS: Final = cast(Table, Conversation.__table__)
_MESSAGES: Final = cast(Table, Message.__table__)
_CONTACTS: Final = cast(Table, Contact.__table__)
_ACCOUNTS: Final = cast(Table, Account.__table__)
_PARTICIPANTS: Final = cast(Table, Participant.__table__)
_CONVERSATION: Final = _CONVERSATIONS.c
_MESSAGE: Final = _MESSAGES.c
_MESSAGE_COLUMNS: Final = (
    _MESSAGE.seq,
    _MESSAGE.author,
    _MESSAGE.direction,
    _MESSAGE.is_internal,
    _MESSAGE.id.label("message_id"),
    _MESSAGE.content,
    _MESSAGE.data_key_id,
    _MESSAGE.state,
    _MESSAGE.sent_at,
    _MESSAGE.deleted_at,
)


@cache
def _build_query(*, with_internal: bool) -> Select[Any]:
    is_last = and_(
        _MESSAGE.conversation_id == _CONVERSATION.id, _MESSAGE.seq == _CONVERSATION.last_seq
    )
    is_reader = and_(
        _PARTICIPANTS.c.conversation_id == _CONVERSATION.id,
        _PARTICIPANTS.c.actor == bindparam("actor"),
    )
    joined = (
        _CONVERSATIONS.outerjoin(
            _MESSAGES, is_last if with_internal else and_(is_last, _MESSAGE.is_internal.is_(False))
        )
        .outerjoin(_CONTACTS, _CONTACTS.c.id == _CONVERSATION.contact_id)
        .outerjoin(_ACCOUNTS, _ACCOUNTS.c.id == _CONVERSATION.account_id)
        .outerjoin(_PARTICIPANTS, is_reader)
    )
    return (
        select(
            _CONVERSATION.id,
            _CONVERSATION.last_seq,
            _PARTICIPANTS.c.read_seq,
            _CONTACTS.c.name.label("contact_name"),
            _ACCOUNTS.c.name.label("account_name"),
            _ACCOUNTS.c.state.label("account_state"),
            *_MESSAGE_COLUMNS,
        )
        .select_from(joined)
        .where(_CONVERSATION.id.in_(bindparam("conversations", expanding=True)))
    )


def _list_last_messages(
    session: Session, ids: Sequence[str], *, with_internal: bool
) -> dict[str, LastMessage]:
    """Return the last visible message of each conversation."""
    last = select(_MESSAGE.conversation_id, func.max(_MESSAGE.seq)).where(
        _MESSAGE.conversation_id.in_(ids)
    )
    if not with_internal:
        last = last.where(_MESSAGE.is_internal.is_(False))
    newest = last.group_by(_MESSAGE.conversation_id).subquery()
    is_newest = and_(_MESSAGE.conversation_id == newest.c[0], _MESSAGE.seq == newest.c[1])
    rows = session.execute(
        select(_MESSAGE.conversation_id, *_MESSAGE_COLUMNS).join_from(_MESSAGES, newest, is_newest)
    )
    return {row.conversation_id: _to_last_message(session, row) for row in rows}


def _to_last_message(session: Session, row: Row[Any]) -> LastMessage:
    return LastMessage(
        seq=row.seq,
        author=row.author,
        direction=row.direction,
        is_internal=row.is_internal,
        content=open_content(session, row.message_id, row.content, row.data_key_id),
        state=row.state,
        sent_at=row.sent_at,
        is_deleted=row.deleted_at is not None,
    )
