"""Computed state and predicted arrival of a package, and the events about its changes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from backend.chassis.database.sessions import Session
from backend.chassis.messaging.event_types import EventData
from backend.chassis.messaging.outbox import EventRecorder
from backend.services.packages.domain import json_views
from backend.services.packages.domain.prediction.arrivals import SampleCache, predict_eta
from backend.services.packages.events import EtaChanged
from backend.services.packages.model import CLOSED_STATUSES, PackageState, Status, TrackingEvent
from backend.services.packages.store import packages as store

_RECORDER: Final = EventRecorder("packages")


class EtaForecasts:
    """Predicts arrivals, with the samples that this process has read."""

    def __init__(self) -> None:
        self._samples = SampleCache()

    def update(
        self,
        session: Session,
        row: store.StoredPackage,
        events: Sequence[TrackingEvent],
        now: datetime,
    ) -> EtaChanged | None:
        """Set the predicted arrival of *row*.

        Returns:
            The event to record, or None without a change.
        """
        package = store.to_package(row)
        eta = None
        if package.state.status not in CLOSED_STATUSES:
            eta = predict_eta(session, self._samples, package, events, now)
        if eta == package.eta:
            return None
        store.set_eta(row, eta)
        names = identify_package(row)
        if eta is None:
            return EtaChanged.model_validate(names)
        return EtaChanged(
            **names,
            p10=eta.p10,
            p50=eta.p50,
            p90=eta.p90,
            late_probability=eta.late_probability,
        )


def set_state(row: store.StoredPackage, state: PackageState) -> None:
    """Set the columns of *row* that are computed from the events."""
    row.status = str(state.status)
    row.sub_status = state.sub_status
    row.started_at = state.started_at
    row.delivered_at = state.delivered_at
    row.last_event = json_views.summarize_event(state.last_event) if state.last_event else None
    row.event_count = state.event_count


def is_late(
    promised_at: datetime | None, delivered_at: datetime | None, status: Status, now: datetime
) -> bool:
    """Return True for a delivery after the promised time, or for none until then."""
    if promised_at is None:
        return False
    if delivered_at is not None:
        return delivered_at > promised_at
    return status not in CLOSED_STATUSES and promised_at < now


def identify_package(row: store.StoredPackage) -> dict[str, str]:
    """Return the fields that all events about a package have."""
    return {"package_id": row.id, "tracking_number": row.number, "carrier": row.carrier}


def record_change(
    session: Session, row: store.StoredPackage, data: EventData, now: datetime
) -> None:
    """Add an event about a package to the outbox."""
    record_changes(session, row, [data], now)


def record_changes(
    session: Session, row: store.StoredPackage, reports: Sequence[EventData], now: datetime
) -> None:
    """Add events about a package to the outbox, in this order."""
    _RECORDER.record_events(
        session, reports, subject=row.id, key=row.id, tenant_id=row.tenant_id, time=now
    )
