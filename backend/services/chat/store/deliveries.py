"""Queries on deliveries. The caller owns the transaction."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.services.chat.store.tables import Delivery


def add_delivery(session: Session, delivery: Delivery) -> None:
    session.add(delivery)
    session.flush()


def list_deliveries(
    session: Session,
    tenant_id: str,
    state: str | None,
    hook_id: str | None,
    limit: int,
    before: int | None,
) -> Sequence[Delivery]:
    """Return the tenant's deliveries, latest first.

    Args:
        state, hook_id: only deliveries in this state or to this hook; None for all.
        before: position of the last delivery of the previous page, or None.
    """
    query = (
        select(Delivery)
        .where(Delivery.tenant_id == tenant_id)
        .order_by(Delivery.position.desc())
        .limit(limit)
    )
    if state is not None:
        query = query.where(Delivery.state == state)
    if hook_id is not None:
        query = query.where(Delivery.hook_id == hook_id)
    if before is not None:
        query = query.where(Delivery.position < before)
    return session.scalars(query).all()
