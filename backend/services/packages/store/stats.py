"""Queries for statistics of packages. The caller owns the transaction."""

import heapq
from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from typing import Final, NamedTuple

from sqlalchemy import Integer, cast, func, select
from sqlalchemy.orm import Session

from backend.chassis.database.types import hours_between, utc_day
from backend.services.packages.store.tables import PackageRow

_ROWS_PER_FETCH: Final = 2000
_LATE = func.sum(cast(PackageRow.is_late, Integer))


class Delivery(NamedTuple):
    """A delivered package.

    Attributes:
        day: UTC day of the delivery, such as 2030-01-31.
        hours: time from the first scan to the delivery; None without a scan.
        is_on_time: None without a promised time.
    """

    day: str
    hours: float | None
    is_on_time: bool | None


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


def count_by_carrier_and_lane(
    session: Session, tenant_id: str, max_lanes: int
) -> tuple[list[GroupCount], list[GroupCount]]:
    """Return the numbers of packages by carrier and of the largest lanes, the largest first.

    The key of a lane is its origin and destination. Packages without both are in no lane.
    """
    lane = (PackageRow.origin_key, PackageRow.destination_key)
    groups = (*lane, PackageRow.carrier)
    query = (
        select(*groups, func.count(), _LATE)
        .where(PackageRow.tenant_id == tenant_id)
        .group_by(*groups)
        .order_by(*groups)
        .execution_options(yield_per=_ROWS_PER_FETCH)
    )
    carriers: dict[str, tuple[int, int]] = {}

    def iterate_lanes() -> Iterator[GroupCount]:
        for (origin, destination), rows in groupby(session.execute(query), key=lambda row: row[:2]):
            packages = late = 0
            for _, _, carrier, count, late_count in rows:
                known = carriers.get(carrier, (0, 0))
                carriers[carrier] = (known[0] + count, known[1] + int(late_count))
                packages += count
                late += int(late_count)
            if origin and destination:
                yield GroupCount((origin, destination), packages, late)

    lanes = heapq.nsmallest(max_lanes, iterate_lanes(), key=_get_rank)
    found = [GroupCount((carrier,), *counts) for carrier, counts in carriers.items()]
    return sorted(found, key=_get_rank), lanes


def _get_rank(group: GroupCount) -> tuple[int, tuple[str, ...]]:
    return -group.packages, group.key


def count_late(session: Session, tenant_id: str) -> int:
    query = select(func.count()).where(
        PackageRow.tenant_id == tenant_id, PackageRow.is_late.is_(True)
    )
    return session.scalar(query) or 0


def iterate_deliveries(session: Session, tenant_id: str, since: datetime) -> Iterator[Delivery]:
    """Yield the packages that were delivered since *since*, in the order of their deliveries."""
    delivered_at, promised_at = PackageRow.delivered_at, PackageRow.promised_at
    query = (
        select(
            utc_day(delivered_at),
            hours_between(PackageRow.started_at, delivered_at),
            delivered_at <= promised_at,
        )
        .where(PackageRow.tenant_id == tenant_id, delivered_at >= since)
        .order_by(delivered_at)
        .execution_options(yield_per=_ROWS_PER_FETCH)
    )
    for row in session.execute(query):
        yield Delivery._make(row)
