"""Statistics of a tenant's packages."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Final

from backend.chassis.database.sessions import Database
from backend.services.packages.domain.packages import Caller
from backend.services.packages.store import stats as store
from backend.services.packages.store.statistics import get_version

_MAX_LANES: Final = 20


@dataclass(frozen=True, slots=True)
class DayStats:
    """Deliveries of a day (UTC).

    Attributes:
        on_time: those not after the promised time; *promised* have one.
        transit_p50_hours: median time from the first scan to the delivery, None without any.
    """

    day: str
    delivered: int
    promised: int
    on_time: int
    transit_p50_hours: float | None
    transit_p90_hours: float | None


@dataclass(frozen=True, slots=True)
class PackageStats:
    """Counts of packages, and figures of their deliveries.

    Attributes:
        carriers: all carriers, the one with the most packages first.
        lanes: the lanes with the most packages. Their keys are origin and destination.
        on_time_rate: share of the deliveries with a promised time, None without any.
        prediction: figures of forecasts on the latest deliveries, see `measure_latest`; None
            without enough deliveries.
    """

    total: int
    late: int
    by_status: Mapping[str, int]
    carriers: Sequence[store.GroupCount]
    lanes: Sequence[store.GroupCount]
    on_time_rate: float | None
    days: Sequence[DayStats]
    prediction: Mapping[str, float | None] | None


class StatsService:
    """Computes statistics when they are requested."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def get_stats(self, caller: Caller, days: int) -> PackageStats:
        """Return counts of all packages, and deliveries of the last *days* days."""
        since = (self._now() - timedelta(days=days - 1)).replace(
            hour=0, minute=0, second=0, microsecond=0
        )
        with self._database.read(caller.tenant_id) as session:
            by_status = store.count_by_status(session, caller.tenant_id)
            carriers, lanes = store.count_by_carrier_and_lane(session, caller.tenant_id, _MAX_LANES)
            late = store.count_late(session, caller.tenant_id)
            # Read in order, so that memory use depends on the deliveries of one day only.
            deliveries = store.iterate_deliveries(session, caller.tenant_id, since)
            day_stats = [
                _summarize(day, each) for day, each in groupby(deliveries, key=attrgetter("day"))
            ]
            version = get_version(session, caller.tenant_id)
        promised = sum(day.promised for day in day_stats)
        return PackageStats(
            total=sum(by_status.values()),
            late=late,
            by_status=by_status,
            carriers=carriers,
            lanes=lanes,
            on_time_rate=sum(day.on_time for day in day_stats) / promised if promised else None,
            days=day_stats,
            prediction=version.figures.get("prediction") if version else None,
        )


def _summarize(day: str, deliveries: Iterable[store.Delivery]) -> DayStats:
    hours: list[float] = []
    delivered = promised = on_time = 0
    for delivery in deliveries:
        delivered += 1
        promised += delivery.is_on_time is not None
        on_time += delivery.is_on_time is True
        if delivery.hours is not None and delivery.hours >= 0:
            hours.append(delivery.hours)
    hours.sort()
    return DayStats(
        day=day,
        delivered=delivered,
        promised=promised,
        on_time=on_time,
        transit_p50_hours=_get_quantile(hours, 0.5),
        transit_p90_hours=_get_quantile(hours, 0.9),
    )


def _get_quantile(values: Sequence[float], share: float) -> float | None:
    """Return the quantile of sorted *values*, interpolated linearly."""
    if not values:
        return None
    position = (len(values) - 1) * share
    lower = int(position)
    upper = min(lower + 1, len(values) - 1)
    return round(values[lower] + (values[upper] - values[lower]) * (position - lower), 2)
