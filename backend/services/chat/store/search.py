"""Full-text search of messages. The caller owns the transaction.

The column `words` is indexed with FTS5 on SQLite and as a tsvector on PostgreSQL. Words consist of
letters, marks and digits only (domain/search_words.py). Those of encrypted messages are hashes.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Select, column, literal_column, select, table, text
from sqlalchemy.orm import Session

from backend.chassis.data_encryption.columns import list_word_forms
from backend.services.chat.store.tables import Conversation, Message

_WORDS = table("chat_message_words", column("rowid"), column("words"))
# Written as in the index: a parameter for the separator would not match its expression.
_POSTGRESQL_MATCH = (
    "array_to_tsvector(string_to_array(chat_messages.words, ' ')) @@ CAST(:expression AS tsquery)"
)


def search_messages(
    session: Session,
    tenant_id: str,
    words: Sequence[str],
    limit: int,
    before: int | None,
    *,
    owner_id: str | None,
) -> Sequence[tuple[Message, Conversation]]:
    """Return messages that contain all *words*, newest first.

    Args:
        words: words of the tokeniser; at least one.
        before: `number` of the last message of the previous page, or None.
        owner_id: only messages of this user's conversations, without internal ones; None for all
            of the tenant.
    """
    query = (
        select(Message, Conversation)
        .join(Conversation, Conversation.id == Message.conversation_id)
        .where(Message.tenant_id == tenant_id, Message.deleted_at.is_(None))
        .limit(limit)
    )
    if owner_id is not None:
        query = query.where(Conversation.owner_id == owner_id, Message.is_internal.is_(False))
    if session.get_bind().dialect.name == "postgresql":
        expression = _build_postgresql_expression(session, tenant_id, words)
        query = _match_postgresql(query, expression)
        number: ColumnElement[int] = Message.number.expression
    else:
        expression = _build_sqlite_expression(session, tenant_id, words)
        query = _match_sqlite(query, expression)
        # A condition on the index itself: it starts there instead of at the newest message.
        number = _WORDS.c.rowid
    if before is not None:
        query = query.where(number < before)
    return [(row[0], row[1]) for row in session.execute(query)]


def select_conversations_with(
    session: Session, tenant_id: str, words: Sequence[str]
) -> Select[tuple[str]]:
    """Return a query of the ids of conversations with a message that contains all *words*."""
    # Not correlated: the query that contains this one may read messages too.
    query = (
        select(Message.conversation_id)
        .where(Message.tenant_id == tenant_id, Message.deleted_at.is_(None))
        .correlate(None)
    )
    if session.get_bind().dialect.name == "postgresql":
        expression = _build_postgresql_expression(session, tenant_id, words)
        return query.where(text(_POSTGRESQL_MATCH).bindparams(expression=expression))
    expression = _build_sqlite_expression(session, tenant_id, words)
    matches = text("chat_message_words MATCH :expression").bindparams(expression=expression)
    return query.where(Message.number.in_(select(_WORDS.c.rowid).where(matches)))


def _build_sqlite_expression(session: Session, tenant_id: str, words: Sequence[str]) -> str:
    """Return the FTS5 expression of messages that contain all *words*, in clear or as hashes."""
    forms = list_word_forms(session, tenant_id, words)
    alternatives = (" OR ".join(f'"{form}"' for form in each) for each in forms)
    return " AND ".join(f"({each})" for each in alternatives)


def _build_postgresql_expression(session: Session, tenant_id: str, words: Sequence[str]) -> str:
    """Return the tsquery of messages that contain all *words*, in clear or as hashes."""
    forms = list_word_forms(session, tenant_id, words)
    alternatives = (" | ".join(f"'{form}'" for form in each) for each in forms)
    return " & ".join(f"({each})" for each in alternatives)


def _match_sqlite(
    query: Select[tuple[Message, Conversation]], expression: str
) -> Select[tuple[Message, Conversation]]:
    return (
        query.join(_WORDS, _WORDS.c.rowid == Message.number)
        .where(text("chat_message_words MATCH :expression").bindparams(expression=expression))
        # The order of the index: SQLite stops after the first rows instead of sorting all.
        .order_by(literal_column("chat_message_words.rowid").desc())
    )


def _match_postgresql(
    query: Select[tuple[Message, Conversation]], expression: str
) -> Select[tuple[Message, Conversation]]:
    condition = text(_POSTGRESQL_MATCH)
    return query.where(condition.bindparams(expression=expression)).order_by(Message.number.desc())
