"""Queries of the command `simulate`. The caller owns the transaction."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from backend.services.chat.store.base import new_id
from backend.services.chat.store.tables import Account, Conversation, Message


def add_account(
    session: Session,
    tenant_id: str,
    channel: str,
    settings: dict[str, Any],
    sealed_credentials: str,
    now: datetime,
) -> str:
    """Add an account at a simulated provider and return its id."""
    account = Account(
        id=new_id("acct"),
        tenant_id=tenant_id,
        channel=channel,
        name=f"Simulated {channel}",
        settings=settings,
        credentials=sealed_credentials,
        created_at=now,
        updated_at=now,
    )
    session.add(account)
    session.flush()
    return account.id


def silence_agent(session: Session, conversation_id: str, now: datetime) -> None:
    """Let people answer in the conversation, so that the agent adds no messages."""
    session.execute(
        update(Conversation)
        .where(Conversation.id == conversation_id)
        .values(mode="human", mode_until=now + timedelta(days=1), answer_due_at=None)
        .execution_options(synchronize_session=False)
    )


def find_conversation(session: Session, account_id: str, key: str) -> Conversation | None:
    return session.scalar(
        select(Conversation).where(Conversation.account_id == account_id, Conversation.key == key)
    )


def get_message_state(session: Session, message_id: str) -> str:
    """Return the state of a message, or "" if there is none."""
    return session.scalar(select(Message.state).where(Message.id == message_id)) or ""


def count_inbound(session: Session, conversation_id: str) -> int:
    """Return the number of messages that contacts have written."""
    query = select(func.count()).where(
        Message.conversation_id == conversation_id, Message.direction == "inbound"
    )
    return session.scalar(query) or 0


def get_account_state(session: Session, account_id: str) -> str:
    return session.scalar(select(Account.state).where(Account.id == account_id)) or ""


def activate_account(session: Session, account_id: str) -> None:
    """Let a stopped account send again."""
    session.execute(
        update(Account)
        .where(Account.id == account_id)
        .values(state="active", error=None, failures=0, open_until=None)
    )


def delete_account(session: Session, account_id: str) -> None:
    """Delete a simulated account with its conversations."""
    account = session.get(Account, account_id)
    if account is not None:
        session.delete(account)
