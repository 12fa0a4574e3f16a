"""The predicted arrival of a package, from the stored samples of its groups."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from backend.chassis.database.sessions import Session
from backend.services.packages.domain.prediction import history
from backend.services.packages.domain.prediction.milestones import Milestone, list_milestones
from backend.services.packages.domain.prediction.places import EDGES
from backend.services.packages.domain.prediction.samples import SampleTable
from backend.services.packages.domain.prediction.statistics import to_tables
from backend.services.packages.domain.status import sort_events
from backend.services.packages.model import Eta, EtaBasis, Package, TrackingEvent
from backend.services.packages.store import statistics as store


def load_sample_tables(
    session: Session,
    tenant_id: str,
    package: Package,
    milestones: Sequence[Milestone],
    kinds: Sequence[str] | None = None,
) -> Mapping[str, SampleTable]:
    """Return the samples of the groups of *package* by kind; empty without statistics.

    Args:
        kinds: only these kinds, and only at the steps that the package has reached.
    """
    version = store.get_version(session, tenant_id)
    if version is None:
        return {}
    positions = [position for position, _, _ in history.list_positions(package, milestones)]
    groups = {group for position in positions for group in position.groups}
    steps = None if kinds is None else sorted({position.step for position in positions})
    samples = store.load_samples(session, tenant_id, version.version, sorted(groups), kinds, steps)
    return to_tables(samples)


def load_edges(session: Session, tenant_id: str) -> SampleTable:
    """Return the times between places; empty without statistics."""
    version = store.get_version(session, tenant_id)
    if version is None:
        return SampleTable({})
    samples = store.load_kind(session, tenant_id, version.version, EDGES)
    return to_tables(samples).get(EDGES, SampleTable({}))


def predict_eta(
    session: Session,
    tenant_id: str,
    package: Package,
    events: Sequence[TrackingEvent],
    now: datetime,
) -> Eta | None:
    """Return the predicted arrival of an open package, or None without a comparable history."""
    milestones = list_milestones(sort_events(events))
    kinds = (history.DURATIONS if package.promised_at is None else history.DEVIATIONS,)
    tables = load_sample_tables(session, tenant_id, package, milestones, kinds)
    predicted = history.predict(tables, package, milestones, now)
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
