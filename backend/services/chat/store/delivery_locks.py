"""Locks on deliveries. The caller owns the transaction."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.services.chat.store.tables import Delivery


def lock_active_deliveries(
    session: Session,
    *,
    account_id: str | None = None,
    conversation_id: str | None = None,
    hook_id: str | None = None,
) -> None:
    """Lock the unfinished deliveries of an account, a conversation or a hook before its deletion.

    The worker locks a delivery before the rows that it belongs to. Their deletion locks the rows in
    the other order, so that PostgreSQL would have to end one of both transactions.
    """
    owners = {"account_id": account_id, "conversation_id": conversation_id, "hook_id": hook_id}
    session.execute(
        select(Delivery.id)
        .filter_by(**{name: value for name, value in owners.items() if value is not None})
        .where(Delivery.state.in_(("queued", "sending", "unknown")))
        .order_by(Delivery.id)
        .with_for_update()
    )
