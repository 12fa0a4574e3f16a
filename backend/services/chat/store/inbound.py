"""Queries on received webhooks and on events that wait for their message.

The caller owns the transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from sqlalchemy import Table, bindparam, delete, func, select, tuple_, update
from sqlalchemy.orm import Session

from backend.chassis.database.statements import CompiledStatement
from backend.services.chat.store.base import new_id
from backend.services.chat.store.conversations import (
    insert_ignoring_conflicts,
    insert_or_ignore,
)
from backend.services.chat.store.tables import Account, EarlyStatus, Inbound

_INBOUND: Final = cast(Table, Inbound.__table__)
_EARLY: Final = cast(Table, EarlyStatus.__table__)
# Runs for each received message, and nearly always finds nothing.
_LIST_EARLY_IDS: Final = CompiledStatement(
    select(_EARLY.c.id).where(
        _EARLY.c.account_id == bindparam("account"), _EARLY.c.target == bindparam("target")
    )
)


@dataclass(frozen=True, slots=True)
class RawWebhook:
    """The sealed body and headers of a webhook, and when they are deleted."""

    body: bytes
    headers: bytes
    delete_at: datetime


def add_inbound(
    session: Session,
    account: Account,
    dedup_key: str,
    kind: str,
    now: datetime,
    *,
    state: str = "done",
    raw: RawWebhook | None = None,
    error: str | None = None,
) -> str | None:
    """Add a received event. Returns its id, or None if the account has its key already.

    If another transaction adds the same key, this one waits for its end.
    """
    inbound_id = new_id("inb")
    result = insert_or_ignore(
        session,
        _INBOUND,
        {
            "id": inbound_id,
            "tenant_id": account.tenant_id,
            "account_id": account.id,
            "dedup_key": dedup_key,
            "state": state,
            "kind": kind,
            "raw": raw.body if raw else None,
            "headers": raw.headers if raw else None,
            "delete_raw_at": raw.delete_at if raw else None,
            "error": error,
            "attempts": 0,
            "received_at": now,
        },
    )
    return inbound_id if result.rowcount else None


def find_inbound(session: Session, tenant_id: str, inbound_id: str) -> Inbound | None:
    return session.scalar(
        select(Inbound)
        .where(Inbound.tenant_id == tenant_id, Inbound.id == inbound_id)
        .with_for_update()
    )


def list_inbound(
    session: Session,
    tenant_id: str,
    state: str | None,
    limit: int,
    before: tuple[datetime, str] | None,
) -> Sequence[Inbound]:
    """Return the tenant's received events without their bodies, latest first.

    Args:
        before: (received_at, id) of the last one of the previous page, or None.
    """
    query = (
        select(Inbound)
        .where(Inbound.tenant_id == tenant_id)
        .order_by(Inbound.received_at.desc(), Inbound.id.desc())
        .limit(limit)
    )
    if state is not None:
        query = query.where(Inbound.state == state)
    if before is not None:
        query = query.where(tuple_(Inbound.received_at, Inbound.id) < before)
    return session.scalars(query).all()


def count_failed_attempt(session: Session, account_id: str, dedup_key: str, error: str) -> None:
    """Note that a failed webhook was received again."""
    session.execute(
        update(Inbound)
        .where(
            Inbound.account_id == account_id,
            Inbound.dedup_key == dedup_key,
            Inbound.state == "failed",
        )
        .values(attempts=Inbound.attempts + 1, error=error)
        .execution_options(synchronize_session=False)
    )


def delete_expired_bodies(session: Session, now: datetime) -> int:
    """Delete the sealed bodies whose time is over. Returns their number."""
    result = session.execute(
        update(Inbound)
        .where(Inbound.delete_raw_at <= now)
        .values(raw=None, headers=None, delete_raw_at=None)
        .execution_options(synchronize_session=False)
    )
    return int(getattr(result, "rowcount", 0))


def delete_old_inbound(session: Session, received_before: datetime) -> int:
    """Delete keys that no provider sends again. Failed webhooks stay."""
    result = session.execute(
        delete(Inbound).where(Inbound.received_at < received_before, Inbound.state != "failed")
    )
    return int(getattr(result, "rowcount", 0))


def get_next_expiry(session: Session) -> datetime | None:
    """Return the time at which the next body or waiting event expires, or None."""
    times = (
        session.scalar(select(func.min(Inbound.delete_raw_at))),
        session.scalar(select(func.min(EarlyStatus.expires_at))),
    )
    return min((time for time in times if time is not None), default=None)


# Events that arrived before their message


def keep_early_event(
    session: Session,
    account: Account,
    target: str,
    label: str,
    event: Mapping[str, Any],
    expires_at: datetime,
) -> None:
    """Keep *event* until its message *target* is known. Of one label, the newest is kept."""
    found = session.scalar(
        select(EarlyStatus).where(
            EarlyStatus.account_id == account.id,
            EarlyStatus.target == target,
            EarlyStatus.status == label,
        )
    )
    if found is not None:
        if str(found.event.get("at", "")) <= str(event.get("at", "")):
            found.event = dict(event)
        return
    session.execute(
        insert_ignoring_conflicts(session, EarlyStatus).values(
            id=new_id("early"),
            tenant_id=account.tenant_id,
            account_id=account.id,
            target=target,
            status=label,
            event=dict(event),
            expires_at=expires_at,
        )
    )


def list_early_events(session: Session, account_id: str, target: str) -> Sequence[EarlyStatus]:
    """Return the events that wait for *target*, in no order."""
    parameters = {"account": account_id, "target": target}
    ids = _LIST_EARLY_IDS.execute(session, parameters).scalars().all()
    if not ids:
        return ()
    return session.scalars(select(EarlyStatus).where(EarlyStatus.id.in_(ids))).all()


def delete_early_events(session: Session, identifiers: Sequence[str]) -> None:
    session.execute(delete(EarlyStatus).where(EarlyStatus.id.in_(identifiers)))


def delete_expired_early_events(session: Session, now: datetime) -> int:
    """Delete events whose message never came. Returns their number."""
    result = session.execute(delete(EarlyStatus).where(EarlyStatus.expires_at <= now))
    return int(getattr(result, "rowcount", 0))
