"""Packages and events as JSON objects, for responses, exports and commands."""

from datetime import datetime
from typing import Any

from backend.chassis.messaging.audit_events import format_time
from backend.services.packages.model import Eta, Package, PackageState, TrackingEvent


def package_to_json(package: Package) -> dict[str, Any]:
    """Return *package* as clients see it."""
    state = package.state
    return {
        "id": package.id,
        "tracking_number": package.number,
        "carrier": package.carrier,
        **state_to_json(state),
        "reference": package.reference,
        "origin": package.origin and package.origin.to_json(),
        "destination": package.destination and package.destination.to_json(),
        "service": package.service,
        "weight_g": package.weight_g,
        "shipped_at": _format(package.shipped_at),
        "promised_at": _format(package.promised_at),
        "late": package.is_late,
        "eta": eta_to_json(package.eta),
        "tags": list(package.tags),
        "metadata": dict(package.metadata),
        "version": package.version,
        "created_by": package.created_by,
        "created_at": _format(package.created_at),
        "updated_at": _format(package.updated_at),
    }


def state_to_json(state: PackageState) -> dict[str, Any]:
    """Return what the events of a package say."""
    return {
        "status": str(state.status),
        "sub_status": state.sub_status,
        "started_at": _format(state.started_at),
        "delivered_at": _format(state.delivered_at),
        "last_event": state.last_event and summarize_event(state.last_event),
        "event_count": state.event_count,
    }


def event_to_json(event: TrackingEvent) -> dict[str, Any]:
    """Return *event* as clients see it."""
    return summarize_event(event) | {
        "local_time": event.local_time,
        "time_basis": event.time_basis,
        "received_at": _format(event.received_at),
        "external_id": event.external_id,
        "corrects": event.corrects,
        "source": event.source,
    }


def summarize_event(event: TrackingEvent) -> dict[str, Any]:
    """Return the part of *event* that packages contain."""
    return {
        "id": event.id,
        "code": str(event.code),
        "occurred_at": _format(event.occurred_at),
        "location": event.location and event.location.to_json(),
        "reason": event.reason and str(event.reason),
        "detail": event.detail,
        "raw_code": event.raw_code,
    }


def eta_to_json(eta: Eta | None) -> dict[str, Any] | None:
    if eta is None:
        return None
    return {
        "p10": _format(eta.p10),
        "p50": _format(eta.p50),
        "p90": _format(eta.p90),
        "late_probability": eta.late_probability,
        "basis": {"samples": eta.basis.samples, "group": eta.basis.group},
    }


def _format(time: datetime | None) -> str | None:
    return None if time is None else format_time(time)
