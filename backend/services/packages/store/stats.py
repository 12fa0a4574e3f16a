"""Queries for statistics of packages. The caller owns the transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Integer, cast, func, select
from sqlalchemy.orm import Session

from backend.services.packages.store.tables import PackageRow

_LATE = func.sum(cast(PackageRow.is_late, Integer))


class Delivery(NamedTuple):
    """Times of a delivered package. It started with the first scan."""

    delivered_at: datetime
    started_at: datetime | None
    promised_at: datetime | None


def count_by_status(session: Session, tenant_id: str) -> dict[str, int]:
    query = (
        select(PackageRow.status, func.count())
        .where(PackageRow.tenant_id == tenant_id)
        .group_by(PackageRow.status)
        .order_by(func.count().desc(), PackageRow.status)
    )
    return {str(status): int(count) for status, count in session.execute(query)}


class GroupCount(NamedTuple):
    """Numbers of packages, and of late ones among them, with the same *key*."""

    key: tuple[str, ...]
    packages: int
    late: int


def count_by_carrier(session: Session, tenant_id: str) -> list[GroupCount]:
    """Return the numbers of packages by carrier, the largest first."""
    query = (
        select(PackageRow.carrier, func.count(), _LATE)
        .where(PackageRow.tenant_id == tenant_id)
        .group_by(PackageRow.carrier)
        .order_by(func.count().desc(), PackageRow.carrier)
    )
    return [GroupCount((row[0],), row[1], int(row[2])) for row in session.execute(query)]


def count_lanes(session: Session, tenant_id: str, limit: int) -> list[GroupCount]:
    """Return the numbers of packages of the *limit* largest lanes, by origin and destination."""
    query = (
        select(PackageRow.origin_key, PackageRow.destination_key, func.count(), _LATE)
        .where(
            PackageRow.tenant_id == tenant_id,
            PackageRow.origin_key != "",
            PackageRow.destination_key != "",
        )
        .group_by(PackageRow.origin_key, PackageRow.destination_key)
        .order_by(func.count().desc(), PackageRow.origin_key, PackageRow.destination_key)
        .limit(limit)
    )
    return [GroupCount((row[0], row[1]), row[2], int(row[3])) for row in session.execute(query)]


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
