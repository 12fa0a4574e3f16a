"""Queries on notifications. The caller owns the transaction."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from backend.services.realtime.store.tables import Notification, NotificationRead


def find_notification(
    session: Session, tenant_id: str, user_id: str, notification_id: str
) -> Notification | None:
    """Return the user's notification with this id, or None."""
    return session.scalar(
        select(Notification).where(
            Notification.tenant_id == tenant_id,
            Notification.user_id == user_id,
            Notification.id == notification_id,
        )
    )


def list_notifications(
    session: Session,
    tenant_id: str,
    user_id: str,
    since: datetime,
    limit: int,
    before: int | None,
) -> Sequence[Notification]:
    """Return the user's notifications since *since*, latest first.

    Args:
        before: offset of the last entry of the previous page, or None.
    """
    query = (
        select(Notification)
        .where(
            Notification.tenant_id == tenant_id,
            Notification.user_id == user_id,
            Notification.time >= since,
        )
        .order_by(Notification.offset.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(Notification.offset < before)
    return session.scalars(query).all()


def count_unread(
    session: Session, tenant_id: str, user_id: str, since: datetime, read_offset: int
) -> int:
    """Return the number of notifications after *read_offset* since *since*."""
    query = (
        select(func.count())
        .select_from(Notification)
        .where(
            Notification.tenant_id == tenant_id,
            Notification.user_id == user_id,
            Notification.time >= since,
            Notification.offset > read_offset,
        )
    )
    return session.scalar(query) or 0


def get_last_offset(session: Session, tenant_id: str, user_id: str) -> int:
    """Return the offset of the user's latest notification, or 0."""
    query = select(func.max(Notification.offset)).where(
        Notification.tenant_id == tenant_id, Notification.user_id == user_id
    )
    return session.scalar(query) or 0


def get_read_position(session: Session, tenant_id: str, user_id: str) -> NotificationRead | None:
    return session.get(NotificationRead, (tenant_id, user_id))


def delete_before(session: Session, time: datetime) -> None:
    """Delete the notifications of all tenants from before *time*."""
    session.execute(delete(Notification).where(Notification.time < time))
