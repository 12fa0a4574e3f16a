"""Queries on conversations and their leases. The caller owns the transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from sqlalchemy import (
    CursorResult,
    Select,
    Table,
    bindparam,
    delete,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import Session

from backend.chassis.data_encryption.columns import open_row
from backend.chassis.data_encryption.data_keys import get_data_keys
from backend.chassis.encryption import DamagedValue
from backend.services.agent.store.tables import Conversation, Message

# With encryption at rest, a search decrypts messages: about 20 µs each.
MAX_SEARCHED_MESSAGES: Final = 20_000
_SEARCH_BATCH: Final = 500
_CONVERSATIONS: Final[Table] = Conversation.metadata.tables[Conversation.__tablename__]
_RELEASE_LEASE: Final = (
    update(_CONVERSATIONS)
    .where(
        _CONVERSATIONS.c.id == bindparam("conversation"),
        _CONVERSATIONS.c.run_id == bindparam("finished_run"),
    )
    .values(run_id=None, run_until=None, cancel_asked=False, updated_at=bindparam("updated_at"))
)

# Each run reads it twice a second.
_SELECT_LEASE_END: Final = select(_CONVERSATIONS.c.run_until).where(
    _CONVERSATIONS.c.id == bindparam("conversation"),
    _CONVERSATIONS.c.run_id == bindparam("leased_run"),
    _CONVERSATIONS.c.cancel_asked.is_(False),
)


def find_conversation(
    session: Session,
    tenant_id: str,
    owner_id: str,
    conversation_id: str,
    *,
    for_update: bool = False,
) -> Conversation | None:
    """Return the owner's conversation; None if it does not exist or belongs to another user.

    Args:
        for_update: lock the row. To change its title or paused run, both are written if they are
            encrypted.
    """
    query = select(Conversation).where(
        Conversation.id == conversation_id,
        Conversation.tenant_id == tenant_id,
        Conversation.owner_id == owner_id,
    )
    return session.scalar(query.with_for_update() if for_update else query)


def list_conversations(
    session: Session,
    tenant_id: str,
    owner_id: str,
    limit: int,
    after: tuple[datetime, str] | None,
    search_text: str | None,
) -> Sequence[Conversation]:
    """Return the owner's conversations, most recently updated first.

    Those of the chat service are listed there.

    Args:
        after: (updated_at, id) of the last conversation of the previous page, or None.
        search_text: return only conversations with this text in the title or a message.
    """
    query = (
        select(Conversation)
        .where(
            Conversation.tenant_id == tenant_id,
            Conversation.owner_id == owner_id,
            Conversation.origin == "agent",
        )
        .order_by(Conversation.updated_at.desc(), Conversation.id.desc())
    )
    if after is not None:
        query = query.where(tuple_(Conversation.updated_at, Conversation.id) < after)
    if search_text is not None:
        if get_data_keys(session) is None:
            query = _match_clear_text(query, search_text)
        else:
            ids = _search_encrypted(session, query, search_text, limit)
            query = query.where(Conversation.id.in_(ids))
    return session.scalars(query.limit(limit)).all()


def _match_clear_text(
    query: Select[tuple[Conversation]], search_text: str
) -> Select[tuple[Conversation]]:
    message_matches = select(Message.id).where(
        Message.conversation_id == Conversation.id,
        Message.text.icontains(search_text, autoescape=True),
    )
    return query.where(
        or_(Conversation.title.icontains(search_text, autoescape=True), message_matches.exists())
    )


def _search_encrypted(
    session: Session, query: Select[tuple[Conversation]], search_text: str, limit: int
) -> Sequence[str]:
    """Return the ids of up to *limit* conversations of *query* that contain *search_text*.

    Reads and decrypts the messages in the order of *query*, at most MAX_SEARCHED_MESSAGES.
    """
    rows = session.execute(
        query.outerjoin(Message, Message.conversation_id == Conversation.id)
        .with_only_columns(
            Conversation.id,
            Conversation.title,
            Conversation.data_key_id,
            Message.id,
            Message.text,
            Message.data_key_id,
        )
        .limit(MAX_SEARCHED_MESSAGES)
        .execution_options(yield_per=_SEARCH_BATCH)
    )
    wanted = search_text.casefold()
    found: list[str] = []
    with rows:
        for (conversation_id, title, key_id), messages in groupby(rows, lambda row: row[:3]):
            title = _open_text(session, Conversation, conversation_id, "title", title, key_id)
            if wanted in title.casefold() or any(
                wanted in _open_text(session, Message, row[3], "text", *row[4:]).casefold()
                for row in messages
            ):
                found.append(conversation_id)
                if len(found) == limit:
                    break
    return found


def _open_text(
    session: Session,
    model: type[Conversation | Message],
    row_id: str,
    column: str,
    text: str | None,
    data_key_id: str | None,
) -> str:
    """Return the text of a column in clear; an empty one if it is null or damaged."""
    try:
        row = open_row(session, model, {"id": row_id, column: text, "data_key_id": data_key_id})
    except DamagedValue:
        return ""
    return row[column] or ""


def acquire_lease(
    session: Session, conversation_id: str, run_id: str, now: datetime, until: datetime
) -> bool:
    """Give *run_id* the lease until *until*. Returns False if another run holds it."""
    # A single UPDATE decides, so only one of two concurrent runs acquires the lease.
    result = session.execute(
        update(Conversation)
        .where(
            Conversation.id == conversation_id,
            or_(Conversation.run_id.is_(None), Conversation.run_until < now),
        )
        .values(run_id=run_id, run_until=until, cancel_asked=False)
    )
    return isinstance(result, CursorResult) and result.rowcount == 1


def finish_run(
    session: Session,
    conversation_id: str,
    run_id: str,
    now: datetime,
    paused: Mapping[str, Any] | None,
) -> bool:
    """Release the lease of *run_id* and store its paused state, if any.

    Returns False if the run no longer holds the lease.
    """
    result = session.execute(
        _RELEASE_LEASE,
        {"conversation": conversation_id, "finished_run": run_id, "updated_at": now},
    )
    if not isinstance(result, CursorResult) or result.rowcount == 0:
        return False
    if paused is not None:
        session.get_one(Conversation, conversation_id).paused = dict(paused)
    return True


def get_lease_end(session: Session, conversation_id: str, run_id: str) -> datetime | None:
    """Return the end of *run_id*'s lease; None if the run was cancelled or lost the lease."""
    parameters = {"conversation": conversation_id, "leased_run": run_id}
    return session.scalar(_SELECT_LEASE_END, parameters)


def extend_lease(session: Session, conversation_id: str, run_id: str, until: datetime) -> bool:
    """Extend the lease of *run_id* until *until*. Returns False if it no longer holds the lease."""
    result = session.execute(
        update(Conversation)
        .where(Conversation.id == conversation_id, Conversation.run_id == run_id)
        .values(run_until=until)
    )
    return isinstance(result, CursorResult) and result.rowcount == 1


def delete_chat_sessions(session: Session, ids: Sequence[str]) -> Sequence[str]:
    """Delete those conversations of *ids* that belong to the chat service. Returns their ids."""
    return session.scalars(
        delete(Conversation)
        .where(Conversation.id.in_(ids), Conversation.origin == "chat")
        .returning(Conversation.id)
        .execution_options(synchronize_session=False)
    ).all()


def delete_conversation(session: Session, conversation_id: str) -> None:
    """Delete the conversation with all its messages."""
    session.execute(delete(Conversation).where(Conversation.id == conversation_id))
