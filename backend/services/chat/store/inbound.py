"""Queries on received webhooks and on events that wait for their message.

The caller owns the transaction.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final, cast

from sqlalchemy import Table, delete, func, select, tuple_, update
from sqlalchemy.orm import Session

from backend.chassis.database.statements import (
    CompiledStatement,
    bind_pairs,
    is_one_of_pairs,
    split_list,
)
from backend.services.chat.store.base import new_id
from backend.services.chat.store.conversations import (
    insert_ignoring_conflicts,
    insert_or_ignore,
)
from backend.services.chat.store.tables import Account, EarlyStatus, Inbound

_INBOUND: Final = cast(Table, Inbound.__table__)
_EARLY: Final = cast(Table, EarlyStatus.__table__)


@dataclass(frozen=True, slots=True)
class RawWebhook:
    """The sealed body and headers of a webhook, and when they are deleted."""

    body: bytes
    headers: bytes
    delete_at: datetime


@dataclass(frozen=True, slots=True)
class NewInbound:
    """A received event to add, or a webhook that failed."""

    account: Account
    dedup_key: str
    kind: str
    raw: RawWebhook | None
    state: str = "done"
    error: str | None = None


def add_inbound(
    session: Session, added: Sequence[NewInbound], now: datetime
) -> Sequence[str | None]:
    """Add received events. Returns the id of each, or None if the account has its key already.

    If another transaction adds the same key, this one waits for its end.
    """
    ids = [new_id("inb") for _ in added]
    rows = [
        {
            "id": inbound_id,
            "tenant_id": new.account.tenant_id,
            "account_id": new.account.id,
            "dedup_key": new.dedup_key,
            "state": new.state,
            "kind": new.kind,
            "raw": new.raw.body if new.raw else None,
            "headers": new.raw.headers if new.raw else None,
            "delete_raw_at": new.raw.delete_at if new.raw else None,
            "error": new.error,
            "attempts": 0,
            "received_at": now,
        }
        for inbound_id, new in zip(ids, added, strict=True)
    ]
    if not rows:
        return ()
    inserted = {row[0] for row in insert_or_ignore(session, _INBOUND, rows, ("id",))}
    return [inbound_id if inbound_id in inserted else None for inbound_id in ids]


def keep_body(session: Session, inbound_id: str, raw: RawWebhook) -> None:
    """Keep the sealed body of a webhook with one of its events."""
    session.execute(
        update(Inbound)
        .where(Inbound.id == inbound_id)
        .values(raw=raw.body, headers=raw.headers, delete_raw_at=raw.delete_at)
        .execution_options(synchronize_session=False)
    )


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


def list_early_events(
    session: Session, targets: Collection[tuple[str, str]]
) -> Mapping[tuple[str, str], Sequence[EarlyStatus]]:
    """Return the events that wait for *targets*, in no order.

    Args:
        targets: pairs of an account and the message's id there, which are the keys of the result.
    """
    ids: list[str] = []
    for part in split_list(targets):
        ids += _build_early_query(len(part)).execute(session, bind_pairs(part)).scalars()
    found: dict[tuple[str, str], list[EarlyStatus]] = {}
    if ids:
        for row in session.scalars(select(EarlyStatus).where(EarlyStatus.id.in_(ids))):
            found.setdefault((row.account_id, row.target), []).append(row)
    return found


# Runs for each received message, and nearly always finds nothing.
@cache
def _build_early_query(count: int) -> CompiledStatement:
    is_waiting = is_one_of_pairs(_EARLY.c.account_id, _EARLY.c.target, count)
    return CompiledStatement(select(_EARLY.c.id).where(is_waiting))


def delete_early_events(session: Session, identifiers: Sequence[str]) -> None:
    session.execute(delete(EarlyStatus).where(EarlyStatus.id.in_(identifiers)))


def delete_expired_early_events(session: Session, now: datetime) -> int:
    """Delete events whose message never came. Returns their number."""
    result = session.execute(delete(EarlyStatus).where(EarlyStatus.expires_at <= now))
    return int(getattr(result, "rowcount", 0))
