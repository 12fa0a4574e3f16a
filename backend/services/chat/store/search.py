"""Full-text search of messages. The caller owns the transaction.

The column `words` is indexed with FTS5 on SQLite and as a tsvector on PostgreSQL, together with the
tenant. Words consist of letters, marks and digits only (domain/search_words.py). Those of
encrypted messages are keyed hashes: each word is found in both forms.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Function,
    Select,
    and_,
    column,
    func,
    literal_column,
    or_,
    select,
    table,
    text,
)
from sqlalchemy.orm import Session

from backend.chassis.data_encryption.columns import list_word_forms
from backend.services.chat.store.tables import Conversation, Message

# Messages of a user with fewer are read one by one: the index has the words of all users.
MAX_SCANNED_MESSAGES: Final = 10_000
_MAX_SCANNED_CONVERSATIONS: Final = 2_000
_WORDS = table("chat_message_words", column("rowid"), column("words"))
# The forms in which messages may contain each word of a query.
_Forms = Sequence[tuple[str, ...]]
_Hits = Sequence[tuple[Message, Conversation]]


def search_messages(
    session: Session,
    tenant_id: str,
    words: Sequence[str],
    limit: int,
    before: int | None,
    *,
    owner_id: str | None,
) -> _Hits:
    """Return messages that contain all *words*, newest first.

    Args:
        words: words of the tokeniser; at least one.
        before: `number` of the last message of the previous page, or None.
        owner_id: only messages of this user's conversations, without internal ones; None for all
            of the tenant.
    """
    forms = list_word_forms(session, tenant_id, words)
    query = (
        select(Message, Conversation)
        .join(Conversation, Conversation.id == Message.conversation_id)
        .where(Message.tenant_id == tenant_id, Message.deleted_at.is_(None))
    )
    if owner_id is not None:
        query = query.where(Conversation.owner_id == owner_id, Message.is_internal.is_(False))
        ids = _list_few_conversations(session, tenant_id, owner_id)
        if ids is not None:
            return _load(session, _match_owned(query, ids, forms, limit, before))
    if session.get_bind().dialect.name == "postgresql":
        numbers = session.scalars(
            select(_find_numbers(forms, before=before, limit=limit, owner_id=owner_id))
        ).all()
        found = query.where(Message.number.in_(numbers)).order_by(Message.number.desc())
        return _load(session, found) if numbers else ()
    return _load(session, _match_sqlite(query, tenant_id, forms, before).limit(limit))


def _load(session: Session, query: Select[tuple[Message, Conversation]]) -> _Hits:
    return [(row[0], row[1]) for row in session.execute(query)]


def select_conversations_with(
    session: Session, tenant_id: str, words: Sequence[str]
) -> Select[tuple[str]]:
    """Return a query of the ids of conversations with a message that contains all *words*."""
    forms = list_word_forms(session, tenant_id, words)
    # Not correlated: the query that contains this one may read messages too.
    query = (
        select(Message.conversation_id)
        .where(Message.tenant_id == tenant_id, Message.deleted_at.is_(None))
        .correlate(None)
    )
    if session.get_bind().dialect.name == "postgresql":
        return query.where(Message.number.in_(select(_find_numbers(forms))))
    return query.where(
        Message.number.in_(select(_WORDS.c.rowid).where(_match_words(tenant_id, forms)))
    )


def _list_few_conversations(
    session: Session, tenant_id: str, owner_id: str
) -> Sequence[str] | None:
    """Return the ids of the user's conversations, or None if they have many messages."""
    rows = session.execute(
        select(Conversation.id, Conversation.last_seq)
        .where(Conversation.tenant_id == tenant_id, Conversation.owner_id == owner_id)
        .limit(_MAX_SCANNED_CONVERSATIONS + 1)
    ).all()
    count = sum(last_seq for _, last_seq in rows)
    if len(rows) > _MAX_SCANNED_CONVERSATIONS or count > MAX_SCANNED_MESSAGES:
        return None
    return [row[0] for row in rows]


def _match_owned(
    query: Select[tuple[Message, Conversation]],
    conversation_ids: Sequence[str],
    forms: _Forms,
    limit: int,
    before: int | None,
) -> Select[tuple[Message, Conversation]]:
    padded = literal_column("' '").concat(Message.words).concat(literal_column("' '"))
    # Not the column itself: SQLite would read the newest messages of all users in its order.
    number = Message.number + literal_column("0")
    query = query.where(
        Message.conversation_id.in_(conversation_ids),
        *(or_(*(padded.like(f"% {form} %") for form in each)) for each in forms),
    )
    if before is not None:
        query = query.where(number < before)
    return query.order_by(number.desc()).limit(limit)


def _match_sqlite(
    query: Select[tuple[Message, Conversation]],
    tenant_id: str,
    forms: _Forms,
    before: int | None,
) -> Select[tuple[Message, Conversation]]:
    query = query.join(_WORDS, _WORDS.c.rowid == Message.number).where(
        _match_words(tenant_id, forms)
    )
    if before is not None:
        # A condition on the index itself: it starts there instead of at the newest message.
        query = query.where(_WORDS.c.rowid < before)
    # The order of the index: SQLite stops after the first rows instead of sorting all.
    return query.order_by(literal_column("chat_message_words.rowid").desc())


def _match_words(tenant_id: str, forms: _Forms) -> ColumnElement[bool]:
    alternatives = (" OR ".join(f'"{form}"' for form in each) for each in forms)
    joined = " AND ".join(f"({each})" for each in alternatives)
    tenant = tenant_id.replace('"', '""')
    matches = text("chat_message_words MATCH :expression").bindparams(
        expression=f'words : ({joined}) AND tenant_id : "{tenant}"'
    )
    return and_(matches)


def _find_numbers(
    forms: _Forms,
    *,
    before: int | None = None,
    limit: int | None = None,
    owner_id: str | None = None,
) -> Function[Any]:
    """Return the call of the function that finds messages of the session's tenant."""
    alternatives = (" | ".join(f"'{form}'" for form in each) for each in forms)
    joined = " & ".join(f"({each})" for each in alternatives)
    return func.chat_find_messages(joined, before, limit, owner_id, type_=BigInteger())
