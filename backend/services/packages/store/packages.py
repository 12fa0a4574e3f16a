"""Queries on packages. The caller owns the transaction."""

import heapq
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, Final, cast

import sqlalchemy as sa
from sqlalchemy import ColumnElement, bindparam, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from backend.chassis.database.pending_rows import insert_pending_rows, update_before_commit
from backend.chassis.database.statements import CompiledStatement
from backend.services.packages.model import (
    CLOSED_STATUSES,
    Cursor,
    Eta,
    EtaBasis,
    EventCode,
    Location,
    Package,
    PackageFilter,
    PackageState,
    Reason,
    Sort,
    Status,
    TrackingEvent,
)
from backend.services.packages.store.package_queries import select_matching, select_page
from backend.services.packages.store.tables import PackageRow, PackageTag, TenantUsage

_TABLE: Final = cast(sa.Table, PackageRow.__table__)
_COLUMN_NAMES: Final = tuple(
    "metadata_" if column.name == "metadata" else column.name for column in _TABLE.c
)
# Built once: each event of a package needs it.
_SELECT_RECORD: Final = CompiledStatement(
    select(_TABLE)
    .where(_TABLE.c.id == bindparam("package_id"), _TABLE.c.tenant_id == bindparam("tenant"))
    .with_for_update()
)
_SELECT_BY_NUMBER: Final = CompiledStatement(
    select(_TABLE)
    .where(
        _TABLE.c.tenant_id == bindparam("tenant"), _TABLE.c.number == bindparam("package_number")
    )
    .order_by((_TABLE.c.carrier == bindparam("given_carrier")).desc(), _TABLE.c.created_at.desc())
    .limit(1)
    .with_for_update()
)
# The ids are a JSON array, because a compiled statement has no parameters for lists.
_SELECT_RECORDS: Final = CompiledStatement(
    select(_TABLE).where(
        _TABLE.c.id.in_(
            select(func.json_each(bindparam("package_ids")).table_valued("value").c.value)
        )
    )
)
# Key in `Session.info`: columns by id of the packages that `load_packages` has read.
_LOADED: Final = "loaded packages"
_SELECT_PACKAGE: Final = select(PackageRow).where(
    PackageRow.id == bindparam("package_id"), PackageRow.tenant_id == bindparam("tenant")
)
_SELECT_FOR_UPDATE: Final = _SELECT_PACKAGE.with_for_update()


class PackageRecord(SimpleNamespace):
    """The columns of `PackageRow` without an object of the session.

    For the most frequent change, that of events: loading and flushing an object takes three times
    as long.
    """

    def __init__(self, values: Sequence[Any]) -> None:
        super().__init__(**dict(zip(_COLUMN_NAMES, values, strict=True)))
        self.stored_values = values


StoredPackage = PackageRow | PackageRecord


class NumberTaken(Exception):
    """The tenant has another package with this carrier and number."""


def to_package(row: Any) -> Package:
    """Return the package of a row of `packages`."""
    last = row.last_event
    return Package(
        id=row.id,
        tenant_id=row.tenant_id,
        number=row.number,
        carrier=row.carrier,
        reference=row.reference,
        origin=Location.from_json(row.origin),
        destination=Location.from_json(row.destination),
        service=row.service,
        weight_g=row.weight_g,
        shipped_at=row.shipped_at,
        promised_at=row.promised_at,
        tags=tuple(row.tags),
        metadata=row.metadata_,
        state=PackageState(
            status=Status(row.status),
            sub_status=row.sub_status,
            delivered_at=row.delivered_at,
            started_at=row.started_at,
            last_event=None if last is None else _read_last_event(last),
            event_count=row.event_count,
        ),
        eta=_read_eta(row),
        version=row.version,
        created_by=row.created_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
        is_late=row.is_late,
    )


def get_package(
    session: Session, tenant_id: str, package_id: str, *, for_update: bool = False
) -> PackageRow | None:
    """Return the row of a package of the tenant, or None."""
    query = _SELECT_FOR_UPDATE if for_update else _SELECT_PACKAGE
    return session.scalar(query, {"package_id": package_id, "tenant": tenant_id})


def lock_package(session: Session, tenant_id: str, package_id: str) -> PackageRecord | None:
    """Return a package of the tenant for `save_changes`, or None."""
    loaded: Sequence[Any] | None = session.info.get(_LOADED, {}).pop(package_id, None)
    if loaded is not None:
        record = PackageRecord(loaded)
        return record if record.tenant_id == tenant_id else None
    _write_changes(session)
    found = _SELECT_RECORD.execute(session, {"package_id": package_id, "tenant": tenant_id}).first()
    return None if found is None else PackageRecord(found)


def load_packages(session: Session, package_ids: Sequence[str]) -> None:
    """Read packages with one query, for `lock_package`. For SQLite only, which has one writer."""
    parameters = {"package_ids": json.dumps(list(package_ids))}
    found = _SELECT_RECORDS.execute(session, parameters)
    session.info[_LOADED] = {values.id: values for values in found}


def _write_changes(session: Session) -> None:
    """Write what `save_changes` has kept for the commit, because a query must see it."""
    # Within a savepoint, nothing is kept.
    if not session.in_nested_transaction():
        insert_pending_rows(session)


def detach_package(session: Session, row: PackageRow) -> PackageRecord:
    """Write *row*, remove it from the session and return its values."""
    session.flush()
    session.expunge(row)
    return PackageRecord([getattr(row, name) for name in _COLUMN_NAMES])


def list_destinations(
    session: Session, tenant_id: str, package_ids: Sequence[str]
) -> Mapping[str, tuple[Location | None, int | None]]:
    """Return the destination and the weight in grams of the tenant's packages in *package_ids*."""
    query = select(PackageRow.id, PackageRow.destination, PackageRow.weight_g).where(
        PackageRow.tenant_id == tenant_id, PackageRow.id.in_(list(package_ids))
    )
    return {
        package_id: (Location.from_json(destination), weight_g)
        for package_id, destination, weight_g in session.execute(query)
    }


def lock_by_number(
    session: Session, tenant_id: str, carrier: str | None, number: str
) -> PackageRecord | None:
    """Return the package with this number: that of *carrier*, or else the newest one.

    Providers have other names for some carriers.
    """
    _write_changes(session)
    parameters = {"tenant": tenant_id, "package_number": number, "given_carrier": carrier or ""}
    found = _SELECT_BY_NUMBER.execute(session, parameters).first()
    if found is None:
        return None
    # A later write of the same transaction must see the changes of this one.
    session.info.get(_LOADED, {}).pop(found.id, None)
    return PackageRecord(found)


def get_by_number(session: Session, tenant_id: str, carrier: str, number: str) -> PackageRow | None:
    """Return the package of *carrier* with this number, or None."""
    return session.scalar(
        select(PackageRow).where(
            PackageRow.tenant_id == tenant_id,
            PackageRow.carrier == carrier,
            PackageRow.number == number,
        )
    )


def add_package(session: Session, row: PackageRow) -> None:
    """Insert *row* and its tags.

    Raises:
        NumberTaken: the tenant has this carrier and number already.
    """
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        raise NumberTaken from error
    _add_tags(session, row)


def save_changes(session: Session, record: PackageRecord) -> None:
    """Update the changed columns of *record*, which are those of its state and its forecast.

    They are written right before the commit; within a savepoint, at once.
    """
    changes = {
        name: value
        for name, stored in zip(_COLUMN_NAMES, record.stored_values, strict=True)
        if (value := getattr(record, name)) != stored
    }
    if not changes:
        return
    statement, values = _build_update(tuple(changes)), {"present_row": record.row} | changes
    if session.in_nested_transaction():
        statement.execute(session, values)
    else:
        update_before_commit(session, statement, values)


@lru_cache(maxsize=64)
def _build_update(names: tuple[str, ...]) -> CompiledStatement:
    values: dict[Any, Any] = {_TABLE.c[name]: bindparam(name) for name in names}
    return CompiledStatement(
        update(_TABLE).where(_TABLE.c.row == bindparam("present_row")).values(values)
    )


def replace_tags(session: Session, row: PackageRow) -> None:
    """Store the tags of *row* for filters."""
    session.execute(delete(PackageTag).where(PackageTag.package_id == row.id))
    _add_tags(session, row)


def _add_tags(session: Session, row: PackageRow) -> None:
    for tag in row.tags:
        session.add(
            PackageTag(
                package_id=row.id, tag=tag, tenant_id=row.tenant_id, created_at=row.created_at
            )
        )


def delete_package(session: Session, row: PackageRow) -> None:
    """Delete a package with its events, tags and investigations."""
    session.execute(delete(PackageRow).where(PackageRow.row == row.row))


def change_usage(session: Session, tenant_id: str, packages: int) -> int:
    """Add *packages* to the number of the tenant's packages. Returns the new number."""
    changed = session.scalar(
        update(TenantUsage)
        .where(TenantUsage.tenant_id == tenant_id)
        .values(packages=TenantUsage.packages + packages)
        .returning(TenantUsage.packages)
    )
    if changed is not None:
        return int(changed)
    try:
        with session.begin_nested():
            session.add(TenantUsage(tenant_id=tenant_id, packages=packages))
    except IntegrityError:  # another transaction has added it
        return change_usage(session, tenant_id, packages)
    return packages


def list_packages(
    session: Session,
    tenant_id: str,
    conditions: PackageFilter,
    sort: Sort,
    limit: int,
    after: Cursor | None = None,
) -> Sequence[PackageRow]:
    """Return up to *limit* packages in the order of *sort*, after the cursor."""
    rows: list[PackageRow] = []
    for query in select_page(session, tenant_id, conditions, sort, after):
        rows.extend(session.scalars(query.limit(limit - len(rows))))
        if len(rows) == limit:
            break
    return rows


def iterate_ids(
    session: Session, conditions: Sequence[ColumnElement[bool]], limit: int
) -> Sequence[tuple[str, str]]:
    """Return tenant and id of up to *limit* packages that match *conditions*."""
    query = select(PackageRow.tenant_id, PackageRow.id).where(*conditions).limit(limit)
    return [(tenant, package_id) for tenant, package_id in session.execute(query)]


def list_open_ids(session: Session, tenant_id: str, after: str, limit: int) -> Sequence[str]:
    """Return the ids of up to *limit* open packages of a tenant, in order, after the id *after*."""
    closed = [str(status) for status in CLOSED_STATUSES]
    query = (
        select(PackageRow.id)
        .where(
            PackageRow.tenant_id == tenant_id,
            PackageRow.id > after,
            PackageRow.status.not_in(closed),
        )
        .order_by(PackageRow.id)
        .limit(limit)
    )
    return session.scalars(query).all()


def list_newest_ids(
    session: Session, tenant_id: str, statuses: Iterable[Status], limit: int
) -> list[str]:
    """Return the ids of the *limit* packages in *statuses* that were created last, newest first."""
    found: list[tuple[datetime, str]] = []
    for status in statuses:
        # A query of one status reads only its part of an index.
        query = (
            select(PackageRow.created_at, PackageRow.id)
            .where(PackageRow.tenant_id == tenant_id, PackageRow.status == str(status))
            .order_by(PackageRow.created_at.desc(), PackageRow.id.desc())
            .limit(limit)
        )
        found += session.execute(query).tuples()
    return [package_id for _, package_id in heapq.nlargest(limit, found)]


def list_by_ids(
    session: Session, tenant_id: str, package_ids: Sequence[str]
) -> Sequence[PackageRow]:
    """Return the tenant's packages in *package_ids*, newest first."""
    query = (
        select(PackageRow)
        .where(PackageRow.tenant_id == tenant_id, PackageRow.id.in_(package_ids))
        .order_by(PackageRow.created_at.desc(), PackageRow.id.desc())
    )
    return session.scalars(query).all()


def count_matching(session: Session, tenant_id: str, conditions: PackageFilter, limit: int) -> int:
    """Return the number of matching packages, at most *limit*."""
    query = select_matching(session, tenant_id, conditions).with_only_columns(sa.literal(1))
    limited = query.order_by(None).limit(limit).subquery()
    return session.scalar(select(func.count()).select_from(limited)) or 0


def set_eta(row: StoredPackage, eta: Eta | None) -> None:
    """Set the columns of the predicted arrival."""
    if eta is None:
        row.eta_p10 = row.eta_p50 = row.eta_p90 = row.late_probability = None
        row.eta_samples = row.eta_group = None
        return
    row.eta_p10, row.eta_p50, row.eta_p90 = eta.p10, eta.p50, eta.p90
    row.late_probability = eta.late_probability
    row.eta_samples, row.eta_group = eta.basis.samples, eta.basis.group


def _read_eta(row: Any) -> Eta | None:
    if row.eta_p50 is None:
        return None
    return Eta(
        p10=row.eta_p10,
        p50=row.eta_p50,
        p90=row.eta_p90,
        late_probability=row.late_probability,
        basis=EtaBasis(row.eta_samples or 0, row.eta_group or ""),
    )


def _read_last_event(value: Mapping[str, Any]) -> TrackingEvent:
    return TrackingEvent(
        id=value["id"],
        key="",
        code=EventCode(value["code"]),
        occurred_at=datetime.fromisoformat(value["occurred_at"]),
        location=Location.from_json(value.get("location")),
        reason=Reason(value["reason"]) if value.get("reason") else None,
        detail=value.get("detail"),
        raw_code=value.get("raw_code"),
    )
