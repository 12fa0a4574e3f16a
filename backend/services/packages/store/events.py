"""Queries on tracking events. The caller owns the transaction."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, cast

from sqlalchemy import Table, bindparam, insert, select, update
from sqlalchemy.orm import Session

from backend.services.packages.model import EventCode, Location, Reason, TrackingEvent
from backend.services.packages.store.tables import TrackingEventRow

_TABLE: Final = cast(Table, TrackingEventRow.__table__)
# Built once, and rows instead of objects: each change of a package reads all its events.
_SELECT_EVENTS: Final = (
    select(_TABLE)
    .where(_TABLE.c.package_id == bindparam("package_id"))
    .order_by(_TABLE.c.occurred_at, _TABLE.c.position)
)
_INSERT: Final = insert(_TABLE)


def list_events(session: Session, package_id: str) -> list[TrackingEvent]:
    """Return all events of a package, in the order of their times."""
    return [to_event(row) for row in session.execute(_SELECT_EVENTS, {"package_id": package_id})]


def add_events(
    session: Session, tenant_id: str, package_id: str, events: Iterable[TrackingEvent]
) -> None:
    """Insert *events*, whose keys the package does not have yet."""
    values = [
        {"tenant_id": tenant_id, "package_id": package_id, "key": event.key, "id": event.id}
        | _to_values(event)
        for event in events
    ]
    if values:
        session.execute(_INSERT, values)


def replace_content(session: Session, event: TrackingEvent) -> None:
    """Store the content of *event* for the event with its id."""
    session.execute(
        update(TrackingEventRow)
        .where(TrackingEventRow.id == event.id)
        .values(_to_values(event))
        .execution_options(synchronize_session=False)
    )


def list_page(
    session: Session, package_id: str, limit: int, after: tuple[datetime, str] | None
) -> Sequence[TrackingEvent]:
    """Return up to *limit* events after the cursor, oldest first."""
    query = (
        select(TrackingEventRow)
        .where(TrackingEventRow.package_id == package_id)
        .order_by(TrackingEventRow.occurred_at, TrackingEventRow.id)
        .limit(limit)
    )
    if after is not None:
        time, event_id = after
        query = query.where(
            (TrackingEventRow.occurred_at > time)
            | ((TrackingEventRow.occurred_at == time) & (TrackingEventRow.id > event_id))
        )
    return [to_event(row) for row in session.scalars(query)]


def to_event(row: Any) -> TrackingEvent:
    """Return the event of a row of `tracking_events`."""
    return TrackingEvent(
        id=row.id,
        key=row.key,
        code=EventCode(row.code),
        occurred_at=row.occurred_at,
        received_at=row.received_at,
        local_time=row.local_time,
        time_basis=row.time_basis,
        sequence=row.sequence,
        location=Location.from_json(row.location),
        reason=Reason(row.reason) if row.reason else None,
        detail=row.detail,
        raw_code=row.raw_code,
        external_id=row.external_id,
        corrects=row.corrects,
        source=row.source,
    )


def _to_values(event: TrackingEvent) -> dict[str, object]:
    return {
        "code": str(event.code),
        "occurred_at": event.occurred_at,
        "received_at": event.received_at,
        "local_time": event.local_time,
        "time_basis": event.time_basis,
        "sequence": event.sequence,
        "location": event.location.to_json() if event.location else None,
        "reason": event.reason and str(event.reason),
        "detail": event.detail,
        "raw_code": event.raw_code,
        "external_id": event.external_id,
        "corrects": event.corrects,
        "source": event.source,
    }
