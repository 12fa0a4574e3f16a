"""Queries that find messages, deliveries and conversations by the ids of a provider."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, bindparam, or_, select, tuple_, update
from sqlalchemy.orm import Session

from backend.chassis.data_encryption.columns import open_instance
from backend.chassis.database.statements import CompiledQuery
from backend.services.chat.store.tables import (
    Attachment,
    Contact,
    Conversation,
    Delivery,
    Identity,
    Message,
)

# Statements that run for each received message are compiled once.
_FIND_OF_CONTACT: Final = CompiledQuery(
    Conversation,
    Conversation.account_id == bindparam("account"),
    Conversation.contact_id == bindparam("contact"),
    Conversation.is_group.is_(False),
    order_by=[Conversation.updated_at.desc()],
    on_load=open_instance,
)
_LIST_CONTACTS: Final = (
    select(Identity.id, Contact)
    .join(Contact, Contact.id == Identity.contact_id)
    .where(Identity.account_id == bindparam("account"))
)
_FIND_CONTACTS: Final = _LIST_CONTACTS.where(
    tuple_(Identity.scheme, Identity.value).in_(bindparam("ids", expanding=True))
)
# Most senders have one id, and an id is unique in the account.
_FIND_CONTACT: Final = CompiledQuery(
    Contact,
    Contact.id
    == select(Identity.contact_id)
    .where(
        Identity.account_id == bindparam("account"),
        Identity.scheme == bindparam("scheme"),
        Identity.value == bindparam("value"),
    )
    .scalar_subquery(),
    Contact.merged_into_id.is_(None),
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
        .where(Identity.account_id == account_id, Identity.value == value)
        .order_by(Identity.created_at)
        .limit(1)
    )


def find_contact_with_ids(
    session: Session, account_id: str, ids: Sequence[tuple[str, str]]
) -> Contact | None:
    """Return the contact that has all *ids*, as (scheme, value), or None."""
    if len(ids) == 1:
        parameters = {"account": account_id, "scheme": ids[0][0], "value": ids[0][1]}
        return _FIND_CONTACT.find_first(session, parameters)
    rows = session.execute(_FIND_CONTACTS, {"account": account_id, "ids": list(ids)}).all()
    contacts = {contact.id: contact for _, contact in rows}
    if len(rows) != len(ids) or len(contacts) != 1:
        return None
    contact: Contact = rows[0][1]
    return contact if contact.merged_into_id is None else None


def add_attachments(session: Session, attachments: Sequence[Attachment]) -> None:
    session.add_all(attachments)
    session.flush()
