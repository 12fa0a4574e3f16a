"""Queries on hooks. The caller owns the transaction."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select, tuple_
from sqlalchemy.orm import Session

from backend.services.chat.store.delivery_locks import lock_active_deliveries
from backend.services.chat.store.tables import Hook


def add_hook(session: Session, hook: Hook) -> None:
    session.add(hook)
    session.flush()


def find_hook(session: Session, tenant_id: str, hook_id: str) -> Hook | None:
    return session.scalar(select(Hook).where(Hook.tenant_id == tenant_id, Hook.id == hook_id))


def list_hooks(
    session: Session, tenant_id: str, limit: int, after: tuple[datetime, str] | None
) -> Sequence[Hook]:
    """Return the tenant's hooks, newest first."""
    query = (
        select(Hook)
        .where(Hook.tenant_id == tenant_id)
        .order_by(Hook.created_at.desc(), Hook.id.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(tuple_(Hook.created_at, Hook.id) < after)
    return session.scalars(query).all()


def list_enabled(session: Session, tenant_id: str) -> Sequence[Hook]:
    """Return the tenant's hooks that are enabled."""
    return session.scalars(
        select(Hook).where(Hook.tenant_id == tenant_id, Hook.is_enabled.is_(True)).limit(100)
    ).all()


def delete_hook(session: Session, hook_id: str) -> None:
    """Delete the hook with its deliveries."""
    lock_active_deliveries(session, hook_id=hook_id)
    session.execute(delete(Hook).where(Hook.id == hook_id))
