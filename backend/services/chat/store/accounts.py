"""Queries on accounts, contacts and identities. The caller owns the transaction."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import delete, func, or_, select, tuple_, update
from sqlalchemy.orm import Session

from backend.services.chat.model import contact_actor
from backend.services.chat.store.base import new_id
from backend.services.chat.store.conversations import insert_ignoring_conflicts
from backend.services.chat.store.daily_stats import mark_account, mark_conversations
from backend.services.chat.store.delivery_locks import lock_active_deliveries
from backend.services.chat.store.ended_sessions import end_sessions
from backend.services.chat.store.history import erase_actor
from backend.services.chat.store.tables import (
    Account,
    Contact,
    Conversation,
    Identity,
    VisitorSession,
)


def web_account_id(tenant_id: str) -> str:
    """Return the id of the account for web chat, of which each tenant has one."""
    return f"web_{tenant_id}"


def ensure_web_account(session: Session, tenant_id: str, now: datetime) -> str:
    """Return the id of the tenant's account for web chat, which is created if necessary."""
    account_id = web_account_id(tenant_id)
    if session.get(Account, account_id) is None:
        session.execute(
            insert_ignoring_conflicts(session, Account).values(
                id=account_id,
                tenant_id=tenant_id,
                channel="web",
                name="Web chat",
                state="active",
                settings={},
                failures=0,
                created_at=now,
                updated_at=now,
            )
        )
    return account_id


def add_account(session: Session, account: Account) -> None:
    session.add(account)
    session.flush()


def get_account(session: Session, account_id: str) -> Account | None:
    """Return the account of any tenant, for a webhook. With row-level security, of the tenant's."""
    return session.get(Account, account_id)


def find_account(session: Session, tenant_id: str, account_id: str) -> Account | None:
    return session.scalar(
        select(Account).where(Account.tenant_id == tenant_id, Account.id == account_id)
    )


def list_accounts(
    session: Session, tenant_id: str, limit: int, after: tuple[datetime, str] | None
) -> Sequence[Account]:
    """Return the tenant's accounts, newest first."""
    query = (
        select(Account)
        .where(Account.tenant_id == tenant_id)
        .order_by(Account.created_at.desc(), Account.id.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(tuple_(Account.created_at, Account.id) < after)
    return session.scalars(query).all()


def delete_account(session: Session, tenant_id: str, account_id: str, now: datetime) -> None:
    """Delete the account with its conversations."""
    lock_active_deliveries(session, account_id=account_id)
    mark_account(session, tenant_id, account_id)
    end_sessions(session, now, account_id=account_id)
    session.execute(delete(Account).where(Account.id == account_id))


# Contacts


def find_contact(session: Session, tenant_id: str, contact_id: str) -> Contact | None:
    """Return the tenant's contact, following merges, or None."""
    for _ in range(8):
        contact = session.scalar(
            select(Contact).where(Contact.tenant_id == tenant_id, Contact.id == contact_id)
        )
        if contact is None or contact.merged_into_id is None:
            return contact
        contact_id = contact.merged_into_id
    return None


def find_contact_by_identity(
    session: Session, tenant_id: str, account_id: str, scheme: str, value: str
) -> Contact | None:
    """Return the contact with this identity at the account, following merges, or None."""
    contact_id = session.scalar(
        select(Identity.contact_id).where(
            Identity.account_id == account_id, Identity.scheme == scheme, Identity.value == value
        )
    )
    return None if contact_id is None else find_contact(session, tenant_id, contact_id)


def list_contacts(
    session: Session,
    tenant_id: str,
    limit: int,
    after: tuple[datetime, str] | None,
    search_text: str | None,
) -> Sequence[Contact]:
    """Return the tenant's contacts without merged ones, newest first.

    Args:
        search_text: return only contacts with this text in the name or in an identity.
    """
    query = (
        select(Contact)
        .where(Contact.tenant_id == tenant_id, Contact.merged_into_id.is_(None))
        .order_by(Contact.created_at.desc(), Contact.id.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(tuple_(Contact.created_at, Contact.id) < after)
    if search_text is not None:
        identity = select(Identity.id).where(
            Identity.contact_id == Contact.id,
            Identity.value.icontains(search_text, autoescape=True),
        )
        query = query.where(
            or_(Contact.name.icontains(search_text, autoescape=True), identity.exists())
        )
    return session.scalars(query).all()


def list_identities(session: Session, contact_ids: Iterable[str]) -> dict[str, list[Identity]]:
    """Return the identities by contact."""
    identities: dict[str, list[Identity]] = {}
    for identity in session.scalars(
        select(Identity)
        .where(Identity.contact_id.in_(list(contact_ids)))
        .order_by(Identity.created_at, Identity.id)
    ):
        identities.setdefault(identity.contact_id, []).append(identity)
    return identities


def get_or_create_contact(
    session: Session,
    tenant_id: str,
    account_id: str,
    ids: Sequence[tuple[str, str]],
    name: str,
    now: datetime,
) -> Contact:
    """Return the contact with one of *ids* at the account. Missing identities are added to it.

    Args:
        ids: (scheme, value) pairs, the most reliable first.
    """
    rows = session.scalars(
        select(Identity).where(
            Identity.account_id == account_id,
            tuple_(Identity.scheme, Identity.value).in_(list(ids)),
        )
    ).all()
    known = {(row.scheme, row.value): row.contact_id for row in rows}
    contact_id = next((known[pair] for pair in ids if pair in known), None)
    contact = None if contact_id is None else find_contact(session, tenant_id, contact_id)
    if contact is None:
        contact = Contact(
            id=new_id("cont"), tenant_id=tenant_id, name=name, created_at=now, updated_at=now
        )
        session.add(contact)
        session.flush()
    elif name and contact.name != name and not contact.attributes.get("name_is_set"):
        contact.name, contact.updated_at = name, now
    for scheme, value in ids:
        if (scheme, value) not in known:
            session.execute(
                insert_ignoring_conflicts(session, Identity).values(
                    id=new_id("ident"),
                    tenant_id=tenant_id,
                    account_id=account_id,
                    contact_id=contact.id,
                    scheme=scheme,
                    value=value,
                    created_at=now,
                )
            )
    return contact


def delete_contact(session: Session, contact: Contact) -> None:
    """Delete a contact without conversations."""
    session.delete(contact)
    session.flush()


def merge_contacts(session: Session, source: Contact, target: Contact, now: datetime) -> None:
    """Move identities and conversations of *source* to *target*."""
    for table in (Identity, Conversation, VisitorSession):
        session.execute(
            update(table)
            .where(table.contact_id == source.id)
            .values(contact_id=target.id)
            .execution_options(synchronize_session=False)
        )
    source.merged_into_id, source.updated_at = target.id, now


def list_person_ids(session: Session, contact: Contact) -> list[str]:
    """Return the id of *contact*, and those of contacts that were merged into it, also by steps.

    Messages in groups keep the contact that wrote them as their author.
    """
    ids, merged = [contact.id], [contact.id]
    while merged:
        query = select(Contact.id).where(
            Contact.tenant_id == contact.tenant_id,
            Contact.merged_into_id.in_(merged),
            Contact.id.not_in(ids),
        )
        merged = list(session.scalars(query))
        ids += merged
    return ids


def erase_contact(session: Session, contact: Contact, now: datetime) -> int:
    """Delete the contact, its one-to-one conversations and what it wrote in groups.

    Contacts that were merged into it are deleted too.

    Returns:
        The number of deleted conversations.
    """
    conversations = select(Conversation.id).where(
        Conversation.contact_id == contact.id, Conversation.is_group.is_(False)
    )
    ids = session.scalars(conversations).all()
    mark_conversations(session, contact.tenant_id, ids)
    end_sessions(session, now, conversation_ids=ids)
    person = list_person_ids(session, contact)
    deleted = session.scalars(
        delete(Conversation)
        .where(Conversation.contact_id == contact.id, Conversation.is_group.is_(False))
        .returning(Conversation.id)
        .execution_options(synchronize_session=False)
    ).all()
    for contact_id in person:
        erase_actor(session, contact.tenant_id, contact_actor(contact_id), now)
    session.execute(
        delete(Contact).where(Contact.id.in_(person)).execution_options(synchronize_session=False)
    )
    return len(deleted)


def count_conversations(session: Session, tenant_id: str) -> dict[str, int]:
    """Return the numbers of the tenant's conversations by status."""
    rows = session.execute(
        select(Conversation.status, func.count())
        .where(Conversation.tenant_id == tenant_id)
        .group_by(Conversation.status)
    )
    return {status: int(count) for status, count in rows}
