"""The predicted arrival of a package, from the stored samples of its groups."""

from array import array
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from threading import Lock
from typing import Final

from backend.chassis.database.sessions import Session
from backend.services.packages.domain.prediction import history
from backend.services.packages.domain.prediction.forecasts import ForecastTables, Position
from backend.services.packages.domain.prediction.milestones import Milestone, list_milestones
from backend.services.packages.domain.prediction.places import EDGES
from backend.services.packages.domain.prediction.samples import Group, Sample, SampleTable
from backend.services.packages.domain.prediction.statistics import to_tables
from backend.services.packages.domain.status import sort_events
from backend.services.packages.model import Eta, EtaBasis, Package, TrackingEvent
from backend.services.packages.store import statistics as store

_MAX_CACHED_SAMPLES: Final = 4000
# Tenant, version of the statistics, kind, step and group.
_CacheKey = tuple[str, int, str, str, Group]


class SampleCache:
    """Samples that this process read for forecasts. Those of a version of statistics never change.

    Args:
        max_samples: number of samples that are kept, about 700 bytes each.
    """

    def __init__(self, max_samples: int = _MAX_CACHED_SAMPLES) -> None:
        self._max_samples = max_samples
        self._lock = Lock()
        # None for groups without a sample. The latest used ones are at the end.
        self._samples: OrderedDict[_CacheKey, Sample | None] = OrderedDict()

    def load(
        self, session: Session, tenant_id: str, version: int, kind: str, position: Position
    ) -> SampleTable:
        """Return the samples of a kind for the groups of *position*, at its step."""
        keys = [(tenant_id, version, kind, position.step, group) for group in position.groups]
        with self._lock:
            found = {key: self._samples[key] for key in keys if key in self._samples}
            for key in found:
                self._samples.move_to_end(key)
        missing = [key for key in keys if key not in found]
        if missing:
            groups = [key[-1] for key in missing]
            stored = store.load_samples(
                session, tenant_id, version, groups, (kind,), (position.step,)
            )
            read = dict.fromkeys(missing, None) | {
                (tenant_id, version, kind, position.step, (each.level, each.group_key)): Sample(
                    each.count, array("d", each.quantiles), each.weight
                )
                for each in stored
            }
            found |= read
            self._keep(read)
        samples = {(key[3], key[4]): sample for key, sample in found.items() if sample is not None}
        return SampleTable(samples)

    def _keep(self, samples: Mapping[_CacheKey, Sample | None]) -> None:
        with self._lock:
            self._samples.update(samples)
            while len(self._samples) > self._max_samples:
                self._samples.popitem(last=False)


def load_sample_tables(
    session: Session, tenant_id: str, package: Package, milestones: Sequence[Milestone]
) -> Mapping[str, SampleTable]:
    """Return the samples of the groups of *package* by kind; empty without statistics."""
    version = store.get_version(session, tenant_id)
    if version is None:
        return {}
    positions = [position for position, _, _ in history.list_positions(package, milestones)]
    groups = {group for position in positions for group in position.groups}
    return to_tables(store.load_samples(session, tenant_id, version.version, sorted(groups)))


def load_edges(session: Session, tenant_id: str) -> SampleTable:
    """Return the times between places; empty without statistics."""
    version = store.get_version(session, tenant_id)
    if version is None:
        return SampleTable({})
    samples = store.load_kind(session, tenant_id, version.version, EDGES)
    return to_tables(samples).get(EDGES, SampleTable({}))


def predict_eta(
    session: Session,
    cache: SampleCache,
    package: Package,
    events: Sequence[TrackingEvent],
    now: datetime,
) -> Eta | None:
    """Return the predicted arrival of an open package, or None without a comparable history."""
    version = store.get_version_number(session, package.tenant_id)
    if version is None:
        return None
    kind = history.DURATIONS if package.promised_at is None else history.DEVIATIONS

    def get_tables(position: Position) -> ForecastTables:
        table = cache.load(session, package.tenant_id, version, kind, position)
        return history.to_forecast_tables({kind: table})

    milestones = list_milestones(sort_events(events))
    predicted = history.predict(get_tables, package, milestones, now)
    if predicted is None:
        return None
    forecast, start, _ = predicted
    p10, p50, p90 = (
        (start + timedelta(hours=hours)).replace(second=0, microsecond=0)
        for hours in (forecast.p10, forecast.p50, forecast.p90)
    )
    late = forecast.late_probability
    return Eta(
        p10=p10,
        p50=p50,
        p90=p90,
        late_probability=None if late is None else round(late, 4),
        basis=EtaBasis(forecast.samples, forecast.group),
    )
