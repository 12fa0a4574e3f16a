"""Queries on accounts of tracking providers and their webhooks. The caller owns the transaction."""

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.services.packages.store.tables import WebhookDelivery


def count_deliveries(session: Session, state: str, before: datetime | None = None) -> int:
    """Return the number of deliveries in *state* that were received before *before*."""
    query = select(func.count()).select_from(WebhookDelivery).where(WebhookDelivery.state == state)
    if before is not None:
        query = query.where(WebhookDelivery.received_at < before)
    return session.scalar(query) or 0
