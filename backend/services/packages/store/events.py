"""Queries on tracking events. The caller owns the transaction."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, cast

from sqlalchemy import Table, Text, bindparam, func, insert, select, update
from sqlalchemy import cast as cast_type
from sqlalchemy.orm import Session

from backend.chassis.database.pending_rows import insert_before_commit
from backend.chassis.database.statements import CompiledStatement
from backend.services.packages.model import EventCode, Location, Reason, TrackingEvent
from backend.services.packages.store.tables import TrackingEventRow

_TABLE: Final = cast(Table, TrackingEventRow.__table__)
# Built once, and rows instead of objects: each change of a package reads all its events.
_SELECT: Final = select(
    _TABLE.c.id,
    _TABLE.c.key,
    _TABLE.c.code,
    _TABLE.c.occurred_at,
    _TABLE.c.received_at,
    _TABLE.c.local_time,
    _TABLE.c.time_basis,
    _TABLE.c.sequence,
    cast_type(_TABLE.c.location, Text).label("location"),
    _TABLE.c.reason,
    _TABLE.c.detail,
    _TABLE.c.raw_code,
    _TABLE.c.external_id,
    _TABLE.c.corrects,
    _TABLE.c.source,
)
_SELECT_EVENTS: Final = CompiledStatement(
    _SELECT.where(_TABLE.c.package_id == bindparam("package_id")).order_by(
        _TABLE.c.occurred_at, _TABLE.c.position
    )
)
# The ids are a JSON array, because a compiled statement has no parameters for lists.
_SELECT_OF_PACKAGES: Final = CompiledStatement(
    _SELECT.add_columns(_TABLE.c.package_id).where(
        _TABLE.c.package_id.in_(
            select(func.json_each(bindparam("package_ids")).table_valued("value").c.value)
        )
    )
)
# Key in `Session.info`: rows by package that `load_events` has read.
_LOADED: Final = "loaded events"
_INSERT: Final = CompiledStatement(
    insert(_TABLE).inline(),
    [column.name for column in _TABLE.c if column is not _TABLE.c.position],
)


def list_events(session: Session, package_id: str) -> list[TrackingEvent]:
    """Return all events of a package, in the order of their times."""
    return [_to_event(row) for row in _SELECT_EVENTS.execute(session, {"package_id": package_id})]


def load_events(session: Session, package_ids: Sequence[str]) -> None:
    """Read the events of packages with one query, for `take_events`. For SQLite only."""
    loaded: dict[str, list[Sequence[Any]]] = {package_id: [] for package_id in package_ids}
    parameters = {"package_ids": json.dumps(list(package_ids))}
    for *columns, package_id in _SELECT_OF_PACKAGES.execute(session, parameters):
        loaded[package_id].append(columns)
    session.info[_LOADED] = loaded


def take_events(session: Session, package_id: str) -> list[TrackingEvent]:
    """Return all events of a package in any order, at the first call those of `load_events`."""
    loaded = session.info.get(_LOADED, {}).pop(package_id, None)
    if loaded is None:
        return list_events(session, package_id)
    return [_to_event(columns) for columns in loaded]


def add_events(
    session: Session, tenant_id: str, package_id: str, events: Iterable[TrackingEvent]
) -> None:
    """Insert *events*, whose keys the package does not have yet, right before the commit.

    Within a savepoint they are inserted at once.
    """
    values = [
        {"tenant_id": tenant_id, "package_id": package_id, "key": event.key, "id": event.id}
        | _to_values(event)
        for event in events
    ]
    if not values:
        return
    if session.in_nested_transaction():
        _INSERT.execute(session, values)
    else:
        insert_before_commit(session, _INSERT, values)


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
        _SELECT.where(_TABLE.c.package_id == package_id)
        .order_by(_TABLE.c.occurred_at, _TABLE.c.id)
        .limit(limit)
    )
    if after is not None:
        time, event_id = after
        query = query.where(
            (_TABLE.c.occurred_at > time)
            | ((_TABLE.c.occurred_at == time) & (_TABLE.c.id > event_id))
        )
    return [_to_event(row) for row in session.execute(query)]


def _to_event(row: Sequence[Any]) -> TrackingEvent:
    # By position: looking up fifteen columns by name takes longer than reading them.
    (
        event_id,
        key,
        code,
        occurred_at,
        received_at,
        local_time,
        time_basis,
        sequence,
        location,
        reason,
        detail,
        raw_code,
        external_id,
        corrects,
        source,
    ) = row
    return TrackingEvent(
        id=event_id,
        key=key,
        code=EventCode(code),
        occurred_at=occurred_at,
        received_at=received_at,
        local_time=local_time,
        time_basis=time_basis,
        sequence=sequence,
        location=_read_location(location) if location else None,
        reason=Reason(reason) if reason else None,
        detail=detail,
        raw_code=raw_code,
        external_id=external_id,
        corrects=corrects,
        source=source,
    )


# Many events have the same places.
@lru_cache(maxsize=1024)
def _read_location(text: str) -> Location | None:
    return Location.from_json(json.loads(text))


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
