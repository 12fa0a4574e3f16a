"""Recomputation of the tenants' lane statistics."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from backend.chassis.database.sessions import Database
from backend.services.packages.domain.prediction.evaluation import (
    Observation,
    Split,
    measure_forecasts,
)
from backend.services.packages.domain.prediction.history import (
    HistoryCollector,
    list_observations,
)
from backend.services.packages.domain.prediction.samples import Group, Sample, SampleTable
from backend.services.packages.domain.status import sort_events
from backend.services.packages.store import events as event_store
from backend.services.packages.store import statistics as store

# The latest packages are enough for quantiles, and bound the memory.
_MAX_PACKAGES: Final = 20_000
_MAX_AGE: Final = timedelta(days=1)
# Forecasts are measured on the latest deliveries, with the earlier ones as their history.
_HELD_OUT_SHARE: Final = 0.2
_MAX_MEASURED: Final = 2_000
_MIN_MEASURED: Final = 20


class StatisticsService:
    """Recomputes statistics on command, and when they are older than a day."""

    def __init__(
        self,
        database: Database,
        now: Callable[[], datetime],
        refresh_etas: Callable[[str], object],
    ) -> None:
        self._database = database
        self._now = now
        self._refresh_etas = refresh_etas

    def recompute(self, tenant_id: str) -> int:
        """Compute the statistics of a tenant, and from them the ETA of its open packages.

        Returns:
            The number of packages that they rest on. If another process stored statistics
            meanwhile, those stay.
        """
        observations: list[Sequence[Observation]] = []
        with self._database.read(tenant_id) as session:
            known = store.get_version(session, tenant_id)
            packages = store.list_delivered(session, tenant_id, _MAX_PACKAGES)
            newest = packages[0].state.delivered_at if packages else None
            collector = HistoryCollector(newest or self._now())
            for index, package in enumerate(packages):
                events = sort_events(event_store.list_events(session, package.id))
                collector.add(package, events)
                if index < _MAX_MEASURED:
                    observations.append(list_observations(package, events))
        tables = collector.summarize()
        with self._database.write(tenant_id) as session:
            store.replace_samples(
                session,
                tenant_id,
                known.version if known else 0,
                _list_samples(tables),
                {"packages": len(packages), "prediction": measure_latest(observations)},
                self._now(),
            )
        self._refresh_etas(tenant_id)
        return len(packages)

    def list_tenants(self, *, stale_only: bool) -> list[str]:
        """Return the tenants with packages, or those whose statistics are older than a day."""
        now = self._now()
        before = now - _MAX_AGE if stale_only else now + _MAX_AGE
        with self._database.across_tenants().read() as session:
            return store.list_stale_tenants(session, before)

    def recompute_stale(self) -> bool:
        """Recompute statistics that are older than a day, for one tenant.

        Returns True if there are more.
        """
        tenants = self.list_tenants(stale_only=True)
        if tenants:
            self.recompute(tenants[0])
        return len(tenants) > 1


def measure_latest(packages: Sequence[Sequence[Observation]]) -> dict[str, Any] | None:
    """Measure forecasts for the latest packages from the history of the earlier ones.

    Args:
        packages: the observations of each package, the latest delivery first.

    Returns:
        The number of `predictions`, `error_hours` and `planned_error_hours` (medians), and
        `coverage`, the share of arrivals between P10 and P90; None for fewer than 20 packages.
        Packages without a promised time are left out.
    """
    planned = [
        usable
        for observations in packages
        if (usable := [item for item in observations if item.position.hours_left is not None])
    ]
    if len(planned) < _MIN_MEASURED:
        return None
    count = max(1, int(len(planned) * _HELD_OUT_SHARE))
    held_out = [item for observations in planned[:count] for item in observations]
    known = [item for observations in planned[count:] for item in observations]
    figures = measure_forecasts(Split(known, held_out))
    if figures is None:
        return None
    return {
        "predictions": figures["count"],
        "error_hours": figures["error_median"],
        "planned_error_hours": figures["planned_error_median"],
        "coverage": figures["coverage_p10_p90"],
    }


def to_tables(stored: Iterable[store.StoredSample]) -> dict[str, SampleTable]:
    """Return stored samples as tables by kind."""
    by_kind: dict[str, dict[tuple[str, Group], Sample]] = {}
    for each in stored:
        sample = Sample(each.count, tuple(each.quantiles), each.weight)
        by_kind.setdefault(each.kind, {})[each.step, (each.level, each.group_key)] = sample
    return {kind: SampleTable(samples) for kind, samples in by_kind.items()}


def _list_samples(tables: Mapping[str, SampleTable]) -> Iterator[store.StoredSample]:
    for kind, table in tables.items():
        for step, (level, key), sample in table:
            quantiles = [round(value, 4) for value in sample.quantiles]
            weight = round(sample.weight, 4)
            yield store.StoredSample(kind, step, level, key, sample.count, quantiles, weight)
