"""Queries on accounts of tracking providers and their webhooks. The caller owns the transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast

from sqlalchemy import Row, Table, bindparam, func, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from backend.chassis.database.pending_rows import update_before_commit
from backend.chassis.database.statements import CompiledStatement
from backend.services.packages.store.tables import WebhookAccountRow, WebhookDeliveryRow

Position = tuple[datetime, str]
# The columns of `WebhookDeliveryRow` without an object of the session.
DeliveryRecord = Row[Any]

# Built once: each webhook needs them.
_TABLE: Final = cast(Table, WebhookDeliveryRow.__table__)
_NAMES: Final = [column.name for column in _TABLE.c]
_INSERT: Final = CompiledStatement(
    sqlite.insert(_TABLE).inline().on_conflict_do_nothing(index_elements=["account_id", "key"]),
    _NAMES,
)
_INSERT_POSTGRESQL: Final = CompiledStatement(
    postgresql.insert(_TABLE).inline().on_conflict_do_nothing(index_elements=["account_id", "key"]),
    _NAMES,
)
_SELECT_DELIVERY: Final = CompiledStatement(
    select(_TABLE).where(_TABLE.c.id == bindparam("delivery_id")).with_for_update()
)
_MARK_DONE: Final = CompiledStatement(
    update(_TABLE)
    .where(_TABLE.c.id == bindparam("delivery_id"))
    .values(
        {name: bindparam(name) for name in ("state", "error", "result", "attempts", "processed_at")}
    )
)


class AccountDeleted(Exception):
    """The account of the delivery does not exist any more."""


def get_account(session: Session, account_id: str) -> WebhookAccountRow | None:
    return session.get(WebhookAccountRow, account_id)


def list_accounts(
    session: Session, tenant_id: str, limit: int, after: Position | None
) -> Sequence[WebhookAccountRow]:
    """Return up to *limit* accounts after the cursor, newest first."""
    query = (
        select(WebhookAccountRow)
        .where(WebhookAccountRow.tenant_id == tenant_id)
        .order_by(WebhookAccountRow.created_at.desc(), WebhookAccountRow.id.desc())
        .limit(limit)
    )
    if after is not None:
        position = tuple_(WebhookAccountRow.created_at, WebhookAccountRow.id)
        query = query.where(position < after)
    return session.scalars(query).all()


def get_delivery(session: Session, delivery_id: str) -> WebhookDeliveryRow | None:
    return session.get(WebhookDeliveryRow, delivery_id)


def list_deliveries(
    session: Session,
    account: WebhookAccountRow,
    state: str | None,
    limit: int,
    after: Position | None,
) -> Sequence[WebhookDeliveryRow]:
    """Return up to *limit* webhooks of *account* after the cursor, newest first."""
    query = (
        select(WebhookDeliveryRow)
        .where(
            WebhookDeliveryRow.tenant_id == account.tenant_id,
            WebhookDeliveryRow.account_id == account.id,
        )
        .order_by(WebhookDeliveryRow.received_at.desc(), WebhookDeliveryRow.id.desc())
        .limit(limit)
    )
    if state is not None:
        query = query.where(WebhookDeliveryRow.state == state)
    if after is not None:
        position = tuple_(WebhookDeliveryRow.received_at, WebhookDeliveryRow.id)
        query = query.where(position < after)
    return session.scalars(query).all()


def lock_delivery(session: Session, delivery_id: str) -> DeliveryRecord | None:
    """Return a delivery for `mark_done`, or None."""
    return _SELECT_DELIVERY.execute(session, {"delivery_id": delivery_id}).first()


def add_delivery(session: Session, values: Mapping[str, Any]) -> bool:
    """Insert a delivery with all its columns.

    Returns False, and counts it as repeated, if the account has one with the same key.

    Raises:
        AccountDeleted
    """
    insert = _INSERT_POSTGRESQL if session.get_bind().dialect.name == "postgresql" else _INSERT
    try:
        is_added = insert.execute(session, values).rowcount == 1
    except IntegrityError as error:
        raise AccountDeleted from error
    if is_added:
        return True
    session.execute(
        update(WebhookDeliveryRow)
        .where(
            WebhookDeliveryRow.account_id == values["account_id"],
            WebhookDeliveryRow.key == values["key"],
        )
        .values(repeats=WebhookDeliveryRow.repeats + 1)
        .execution_options(synchronize_session=False)
    )
    return False


def mark_done(
    session: Session, delivery: DeliveryRecord, result: Mapping[str, Any], now: datetime
) -> None:
    """Store the result of processing *delivery*."""
    values = {
        "delivery_id": delivery.id,
        "state": "done",
        "error": None,
        "result": result,
        "attempts": delivery.attempts + 1,
        "processed_at": now,
    }
    update_before_commit(session, _MARK_DONE, values)


def list_waiting(session: Session, before: datetime, limit: int) -> Sequence[tuple[str, str]]:
    """Return tenant and id of webhooks that were received before *before* and not processed."""
    query = (
        select(WebhookDeliveryRow.tenant_id, WebhookDeliveryRow.id)
        .where(WebhookDeliveryRow.state == "received", WebhookDeliveryRow.received_at < before)
        .order_by(WebhookDeliveryRow.received_at)
        .limit(limit)
    )
    return [(tenant_id, delivery_id) for tenant_id, delivery_id in session.execute(query)]


def mark_failed(session: Session, delivery_id: str, error: str, now: datetime) -> None:
    """Store that a webhook could not be processed."""
    session.execute(
        update(WebhookDeliveryRow)
        .where(WebhookDeliveryRow.id == delivery_id)
        .values(
            state="failed",
            error=error,
            attempts=WebhookDeliveryRow.attempts + 1,
            processed_at=now,
        )
        .execution_options(synchronize_session=False)
    )


def count_deliveries(session: Session, state: str, before: datetime | None = None) -> int:
    """Return the number of deliveries in *state* that were received before *before*."""
    query = (
        select(func.count())
        .select_from(WebhookDeliveryRow)
        .where(WebhookDeliveryRow.state == state)
    )
    if before is not None:
        query = query.where(WebhookDeliveryRow.received_at < before)
    return session.scalar(query) or 0
