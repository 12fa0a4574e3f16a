"""Queries on accounts of tracking providers and their webhooks. The caller owns the transaction."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Select, func, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from backend.services.packages.store.tables import WebhookAccountRow, WebhookDeliveryRow

Position = tuple[datetime, str]


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


def get_delivery(
    session: Session, delivery_id: str, *, for_update: bool = False
) -> WebhookDeliveryRow | None:
    query: Select[tuple[WebhookDeliveryRow]] = select(WebhookDeliveryRow).where(
        WebhookDeliveryRow.id == delivery_id
    )
    return session.scalar(query.with_for_update() if for_update else query)


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


def add_delivery(session: Session, delivery: WebhookDeliveryRow) -> str | None:
    """Insert *delivery* and return its id, or count it as repeated and return None."""
    account_id, key = delivery.account_id, delivery.key
    try:
        with session.begin_nested():
            session.add(delivery)
    except IntegrityError:
        session.execute(
            update(WebhookDeliveryRow)
            .where(WebhookDeliveryRow.account_id == account_id, WebhookDeliveryRow.key == key)
            .values(repeats=WebhookDeliveryRow.repeats + 1)
            .execution_options(synchronize_session=False)
        )
        return None
    return delivery.id


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
