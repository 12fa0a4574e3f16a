"""Queries on accounts of tracking providers and their webhooks. The caller owns the transaction."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Select, func, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from backend.services.packages.store.tables import WebhookAccount, WebhookDelivery

Position = tuple[datetime, str]


def get_account(session: Session, account_id: str) -> WebhookAccount | None:
    return session.get(WebhookAccount, account_id)


def list_accounts(
    session: Session, tenant_id: str, limit: int, after: Position | None
) -> Sequence[WebhookAccount]:
    """Return up to *limit* accounts after the cursor, newest first."""
    query = (
        select(WebhookAccount)
        .where(WebhookAccount.tenant_id == tenant_id)
        .order_by(WebhookAccount.created_at.desc(), WebhookAccount.id.desc())
        .limit(limit)
    )
    if after is not None:
        position = tuple_(WebhookAccount.created_at, WebhookAccount.id)
        query = query.where(position < after)
    return session.scalars(query).all()


def get_delivery(
    session: Session, delivery_id: str, *, for_update: bool = False
) -> WebhookDelivery | None:
    query: Select[tuple[WebhookDelivery]] = select(WebhookDelivery).where(
        WebhookDelivery.id == delivery_id
    )
    return session.scalar(query.with_for_update() if for_update else query)


def list_deliveries(
    session: Session,
    account: WebhookAccount,
    state: str | None,
    limit: int,
    after: Position | None,
) -> Sequence[WebhookDelivery]:
    """Return up to *limit* webhooks of *account* after the cursor, newest first."""
    query = (
        select(WebhookDelivery)
        .where(
            WebhookDelivery.tenant_id == account.tenant_id,
            WebhookDelivery.account_id == account.id,
        )
        .order_by(WebhookDelivery.received_at.desc(), WebhookDelivery.id.desc())
        .limit(limit)
    )
    if state is not None:
        query = query.where(WebhookDelivery.state == state)
    if after is not None:
        position = tuple_(WebhookDelivery.received_at, WebhookDelivery.id)
        query = query.where(position < after)
    return session.scalars(query).all()


def add_delivery(session: Session, delivery: WebhookDelivery) -> str | None:
    """Insert *delivery* and return its id, or count it as repeated and return None."""
    account_id, key = delivery.account_id, delivery.key
    try:
        with session.begin_nested():
            session.add(delivery)
    except IntegrityError:
        session.execute(
            update(WebhookDelivery)
            .where(WebhookDelivery.account_id == account_id, WebhookDelivery.key == key)
            .values(repeats=WebhookDelivery.repeats + 1)
            .execution_options(synchronize_session=False)
        )
        return None
    return delivery.id


def list_waiting(session: Session, before: datetime, limit: int) -> Sequence[tuple[str, str]]:
    """Return tenant and id of webhooks that were received before *before* and not processed."""
    query = (
        select(WebhookDelivery.tenant_id, WebhookDelivery.id)
        .where(WebhookDelivery.state == "received", WebhookDelivery.received_at < before)
        .order_by(WebhookDelivery.received_at)
        .limit(limit)
    )
    return [(tenant_id, delivery_id) for tenant_id, delivery_id in session.execute(query)]


def mark_failed(session: Session, delivery_id: str, error: str, now: datetime) -> None:
    """Store that a webhook could not be processed."""
    session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.id == delivery_id)
        .values(
            state="failed",
            error=error,
            attempts=WebhookDelivery.attempts + 1,
            processed_at=now,
        )
        .execution_options(synchronize_session=False)
    )


def count_deliveries(session: Session, state: str, before: datetime | None = None) -> int:
    """Return the number of deliveries in *state* that were received before *before*."""
    query = select(func.count()).select_from(WebhookDelivery).where(WebhookDelivery.state == state)
    if before is not None:
        query = query.where(WebhookDelivery.received_at < before)
    return session.scalar(query) or 0
