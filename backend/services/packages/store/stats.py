"""Queries for statistics of packages. The caller owns the transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from backend.services.packages.store.tables import PackageRow


class Delivery(NamedTuple):
    """Times of a delivered package. It started with the first scan."""

    delivered_at: datetime
    started_at: datetime | None
    promised_at: datetime | None


def count_by_status(session: Session, tenant_id: str) -> dict[str, int]:
    return _count_by(session, tenant_id, PackageRow.status)


def count_by_carrier(session: Session, tenant_id: str) -> dict[str, int]:
    return _count_by(session, tenant_id, PackageRow.carrier)


def count_lanes(session: Session, tenant_id: str, limit: int) -> list[tuple[str, str, int]]:
    """Return origin, destination and number of packages of the *limit* largest lanes."""
    query = (
        select(PackageRow.origin_key, PackageRow.destination_key, func.count())
        .where(
            PackageRow.tenant_id == tenant_id,
            PackageRow.origin_key != "",
            PackageRow.destination_key != "",
        )
        .group_by(PackageRow.origin_key, PackageRow.destination_key)
        .order_by(func.count().desc(), PackageRow.origin_key, PackageRow.destination_key)
        .limit(limit)
    )
    return [(origin, destination, count) for origin, destination, count in session.execute(query)]


def count_late(session: Session, tenant_id: str) -> int:
    query = select(func.count()).where(
        PackageRow.tenant_id == tenant_id, PackageRow.is_late.is_(True)
    )
    return session.scalar(query) or 0


def list_deliveries(session: Session, tenant_id: str, since: datetime) -> Sequence[Delivery]:
    """Return the packages that were delivered since *since*."""
    query = select(PackageRow.delivered_at, PackageRow.started_at, PackageRow.promised_at).where(
        PackageRow.tenant_id == tenant_id, PackageRow.delivered_at >= since
    )
    return [Delivery(*row) for row in session.execute(query)]


def _count_by(
    session: Session, tenant_id: str, column: InstrumentedAttribute[str]
) -> dict[str, int]:
    query = (
        select(column, func.count())
        .where(PackageRow.tenant_id == tenant_id)
        .group_by(column)
        .order_by(func.count().desc(), column)
    )
    return {str(value): int(count) for value, count in session.execute(query)}
