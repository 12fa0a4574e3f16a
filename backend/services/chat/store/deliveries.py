"""Queries on deliveries. The caller owns the transaction."""

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.services.chat.store.tables import Delivery


def add_delivery(session: Session, delivery: Delivery) -> None:
    session.add(delivery)
    session.flush()


def list_deliveries(
    session: Session,
    tenant_id: str,
    conditions: Mapping[str, str],
    limit: int,
    before: int | None,
) -> Sequence[Delivery]:
    """Return the tenant's deliveries, latest first.

    Args:
        conditions: values of columns.
        before: position of the last delivery of the previous page, or None.
    """
    query = (
        select(Delivery)
        .where(Delivery.tenant_id == tenant_id)
        .order_by(Delivery.position.desc())
        .limit(limit)
    )
    for name, value in conditions.items():
        query = query.where(getattr(Delivery, name) == value)
    if before is not None:
        query = query.where(Delivery.position < before)
    return session.scalars(query).all()
