"""Queries that find messages, deliveries and conversations by the ids of a provider."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Final

from sqlalchemy import ColumnElement, and_, bindparam, or_, select, update
from sqlalchemy.orm import Session

from backend.chassis.data_encryption.columns import open_instance
from backend.chassis.database.statements import (
    CompiledQuery,
    bind_pairs,
    is_one_of_pairs,
    split_list,
)
from backend.services.chat.store.tables import (
    Attachment,
    Contact,
    Conversation,
    Delivery,
    Identity,
    Message,
)

# Schemes of ids, the most reliable first. A phone number may get another owner.
NAMED_SCHEMES: Final = ("bsuid", "aad", "teams", "wa_id")
# The scheme of ids that are named without one.
PLAIN_SCHEME: Final = "id"
# Statements that run for each received message are compiled once.
_FIND_OF_CONTACT: Final = CompiledQuery(
    Conversation,
    Conversation.account_id == bindparam("account"),
    Conversation.contact_id == bindparam("contact"),
    Conversation.is_group.is_(False),
    order_by=[Conversation.updated_at.desc()],
    on_load=open_instance,
)


@cache
def _build_conversations_query(column: str, count: int) -> CompiledQuery[Conversation]:
    """Return the query for conversations by pairs of an account and the *column*."""
    conditions = [is_one_of_pairs(Conversation.account_id, getattr(Conversation, column), count)]
    if column == "contact_id":
        conditions.append(Conversation.is_group.is_(False))
    return CompiledQuery(
        Conversation,
        *conditions,
        order_by=[Conversation.updated_at.desc()],
        on_load=open_instance,
    )


@cache
def _build_contacts_query(count: int) -> CompiledQuery[Contact]:
    """Return the query for contacts by pairs of an account and an id, with the identities."""
    is_one = [
        and_(
            Identity.account_id == bindparam(f"first_{index}"),
            # The schemes are named because the index has them before the values.
            Identity.scheme.in_((*NAMED_SCHEMES, PLAIN_SCHEME)),
            Identity.value == bindparam(f"second_{index}"),
        )
        for index in range(count)
    ]
    return CompiledQuery(
        Contact,
        Contact.id == Identity.contact_id,
        or_(*is_one),
        order_by=[Identity.created_at],
        beside=[Identity.account_id, Identity.scheme, Identity.value],
    )


def find_conversation_by_key(session: Session, account_id: str, key: str) -> Conversation | None:
    return session.scalar(
        select(Conversation).where(Conversation.account_id == account_id, Conversation.key == key)
    )


def find_conversation_of_contact(
    session: Session, account_id: str, contact_id: str
) -> Conversation | None:
    """Return the latest one-to-one conversation of the contact at the account, or None."""
    return _FIND_OF_CONTACT.find_first(session, {"account": account_id, "contact": contact_id})


def list_conversations_of_contacts(
    session: Session, contacts: Collection[tuple[str, str]]
) -> Mapping[tuple[str, str], Conversation]:
    """Return the latest one-to-one conversations by pairs of an account and a contact."""
    return _list_conversations(session, "contact_id", contacts)


def list_conversations_by_keys(
    session: Session, keys: Collection[tuple[str, str]]
) -> Mapping[tuple[str, str], Conversation]:
    """Return the conversations with *keys*, which are pairs of an account and a key."""
    return _list_conversations(session, "key", keys)


def _list_conversations(
    session: Session, column: str, pairs: Collection[tuple[str, str]]
) -> Mapping[tuple[str, str], Conversation]:
    found: dict[tuple[str, str], Conversation] = {}
    for part in split_list(pairs):
        query = _build_conversations_query(column, len(part))
        for conversation, _ in query.list_rows(session, bind_pairs(part)):
            pair = (conversation.account_id, getattr(conversation, column))
            found.setdefault(pair, conversation)
    return found


def find_external_message(
    session: Session, account_id: str, external_id: str, key: str = ""
) -> tuple[Conversation, Message] | None:
    """Return a message by the provider's id, and its conversation.

    Args:
        key: the conversation's key, or the key of the chat that its threads and topics begin with;
            empty if the provider's ids are unique in the account.
    """
    query = (
        select(Conversation, Message)
        .join(Message, Message.conversation_id == Conversation.id)
        .where(Conversation.account_id == account_id, Message.external_id == external_id)
        .order_by(Message.number)
        .limit(1)
    )
    if key:
        query = query.where(_is_in_chat(key))
    row = session.execute(query).first()
    return None if row is None else (row[0], row[1])


def find_delivered_message(
    session: Session, account_id: str, external_id: str, key: str = ""
) -> tuple[Conversation, Message] | None:
    """Return a message of ours by the provider's id of one of its parts; see above for *key*."""
    query = (
        select(Conversation, Message)
        .join(Message, Message.conversation_id == Conversation.id)
        .join(Delivery, Delivery.message_id == Message.id)
        .where(Delivery.account_id == account_id, Delivery.external_id == external_id)
        .limit(1)
    )
    if key and not key.startswith("user:"):
        query = query.where(_is_in_chat(key))
    row = session.execute(query).first()
    return None if row is None else (row[0], row[1])


def _is_in_chat(key: str) -> ColumnElement[bool]:
    return or_(Conversation.key == key, Conversation.key.startswith(f"{key}:", autoescape=True))


def list_sent_until(
    session: Session, conversation_id: str, until: datetime, states: Sequence[str], limit: int
) -> Sequence[Message]:
    """Return outbound messages in one of *states* that were sent until *until*, newest first."""
    return session.scalars(
        select(Message)
        .where(
            Message.conversation_id == conversation_id,
            Message.direction == "outbound",
            Message.state.in_(states),
            Message.sent_at <= until,
        )
        .order_by(Message.seq.desc())
        .limit(limit)
    ).all()


def rename_conversations(session: Session, account_id: str, old_key: str, new_key: str) -> None:
    """Give the conversation *old_key* the key *new_key*, unless there is one with it."""
    if find_conversation_by_key(session, account_id, new_key) is None:
        session.execute(
            update(Conversation)
            .where(Conversation.account_id == account_id, Conversation.key == old_key)
            .values(key=new_key)
            .execution_options(synchronize_session=False)
        )


def find_identity(session: Session, account_id: str, value: str) -> Identity | None:
    """Return the identity with *value* in any scheme, or None."""
    return session.scalar(
        select(Identity)
        .where(
            Identity.account_id == account_id,
            # The index has the scheme before the value.
            Identity.scheme.in_((*NAMED_SCHEMES, PLAIN_SCHEME)),
            Identity.value == value,
        )
        .order_by(Identity.created_at)
        .limit(1)
    )


def list_contacts_with_ids(
    session: Session, ids: Collection[tuple[str, str]]
) -> Mapping[tuple[str, str], Mapping[str, Contact]]:
    """Return the contacts that have *ids*, also merged ones.

    Args:
        ids: pairs of an account and an id there, which are the keys of the result.

    Returns:
        The contacts by scheme, of which the earliest known is first.
    """
    found: dict[tuple[str, str], dict[str, Contact]] = {}
    for part in split_list(ids):
        query = _build_contacts_query(len(part))
        for contact, (account_id, scheme, value) in query.list_rows(session, bind_pairs(part)):
            found.setdefault((account_id, value), {})[scheme] = contact
    return found


def add_attachments(session: Session, attachments: Sequence[Attachment]) -> None:
    session.add_all(attachments)
    session.flush()
