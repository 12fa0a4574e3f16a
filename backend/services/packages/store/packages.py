"""Queries on packages. The caller owns the transaction."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Select, delete, func, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute, Session

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
from backend.services.packages.store.tables import PackageRow, PackageTag, TenantUsage

SORT_COLUMNS: Final[Mapping[str, InstrumentedAttribute[Any]]] = {
    "created_at": PackageRow.created_at,
    "updated_at": PackageRow.updated_at,
    "eta": PackageRow.eta_p50,
    "promised_at": PackageRow.promised_at,
    "delivered_at": PackageRow.delivered_at,
}


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
    query = select(PackageRow).where(PackageRow.id == package_id, PackageRow.tenant_id == tenant_id)
    if for_update:
        query = query.with_for_update()
    return session.scalar(query)


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


def find_by_number(
    session: Session, tenant_id: str, carrier: str | None, number: str, *, for_update: bool = False
) -> PackageRow | None:
    """Return the package with this number; of several carriers, the newest one."""
    query = (
        select(PackageRow)
        .where(PackageRow.tenant_id == tenant_id, PackageRow.number == number)
        .order_by(PackageRow.created_at.desc())
        .limit(1)
    )
    if carrier is not None:
        query = query.where(PackageRow.carrier == carrier)
    if for_update:
        query = query.with_for_update()
    return session.scalar(query)


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
    replace_tags(session, row)


def replace_tags(session: Session, row: PackageRow) -> None:
    """Store the tags of *row* for filters."""
    session.execute(delete(PackageTag).where(PackageTag.package_id == row.id))
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


def select_page(
    session: Session,
    tenant_id: str,
    conditions: PackageFilter,
    sort: Sort,
    after: Cursor | None,
) -> Iterator[Select[tuple[PackageRow]]]:
    """Yield queries whose results, one after the other, are the packages after the cursor.

    Packages without a value of the sort column come last, with a query of their own.
    """
    column: ColumnElement[Any] = SORT_COLUMNS[sort.name].expression
    query = _select(session, tenant_id, conditions)
    if conditions.tag is not None:
        query = query.join(PackageTag, PackageTag.package_id == PackageRow.id).where(
            PackageTag.tenant_id == tenant_id, PackageTag.tag == conditions.tag
        )
        if sort.name == "created_at":  # the index of tags has this order
            column = PackageTag.created_at.expression
    nullable = bool(SORT_COLUMNS[sort.name].expression.nullable)
    if after is None or after[0] is not None:
        page = query.where(column.is_not(None)) if nullable else query
        if after is not None:
            page = page.where(_is_after(column, after, sort))
        yield page.order_by(*_order(column, sort))
    if nullable:
        page = query.where(column.is_(None)).order_by(_order(column, sort)[1])
        if after is not None and after[0] is None:
            page = page.where(
                PackageRow.id < after[1] if sort.descending else PackageRow.id > after[1]
            )
        yield page


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


def list_by_status(
    session: Session, tenant_id: str, status: Status, limit: int
) -> Sequence[PackageRow]:
    """Return the *limit* packages with *status* that were created last."""
    query = (
        select(PackageRow)
        .where(PackageRow.tenant_id == tenant_id, PackageRow.status == str(status))
        .order_by(PackageRow.created_at.desc(), PackageRow.id.desc())
        .limit(limit)
    )
    return session.scalars(query).all()


def count_matching(session: Session, tenant_id: str, conditions: PackageFilter, limit: int) -> int:
    """Return the number of matching packages, at most *limit*."""
    query = _select(session, tenant_id, conditions).with_only_columns(sa.literal(1))
    if conditions.tag is not None:
        query = query.join(PackageTag, PackageTag.package_id == PackageRow.id).where(
            PackageTag.tenant_id == tenant_id, PackageTag.tag == conditions.tag
        )
    limited = query.order_by(None).limit(limit).subquery()
    return session.scalar(select(func.count()).select_from(limited)) or 0


def _select(
    session: Session, tenant_id: str, conditions: PackageFilter
) -> Select[tuple[PackageRow]]:
    query = select(PackageRow).where(PackageRow.tenant_id == tenant_id)
    return query.where(*_list_conditions(session, conditions))


def _list_conditions(session: Session, conditions: PackageFilter) -> Iterator[ColumnElement[bool]]:
    for column, value in (
        (PackageRow.status, conditions.status and str(conditions.status)),
        (PackageRow.carrier, conditions.carrier),
        (PackageRow.number, conditions.number),
        (PackageRow.reference, conditions.reference),
        (PackageRow.is_late, conditions.late),
    ):
        if value is not None:
            yield column == value
    if conditions.origin is not None:
        yield _is_place(PackageRow.origin_key, PackageRow.origin_country, conditions.origin)
    if conditions.destination is not None:
        yield _is_place(
            PackageRow.destination_key, PackageRow.destination_country, conditions.destination
        )
    for earliest, latest, time_column in (
        (conditions.created_since, conditions.created_until, PackageRow.created_at),
        (conditions.eta_since, conditions.eta_until, PackageRow.eta_p50),
    ):
        if earliest is not None:
            yield time_column >= earliest
        if latest is not None:
            yield time_column < latest
    if conditions.words:
        yield _has_words(session, conditions.words)


def _is_place(
    key: InstrumentedAttribute[str], country: InstrumentedAttribute[str], value: str
) -> ColumnElement[bool]:
    if len(value) == 2 and value.isalpha():
        return country == value.upper()
    if ":" in value:
        kind, _, rest = value.partition(":")
        if kind in ("code", "place"):
            return key == value
        return key == f"place:{kind.casefold()}:{rest.casefold()}"
    return key == f"code:{value.upper()}"


def _has_words(session: Session, words: Sequence[str]) -> ColumnElement[bool]:
    # Words consist of letters and digits only, so that no operator can be in them.
    if session.get_bind().dialect.name == "postgresql":
        query = " & ".join(f"'{word}':*" for word in words)
        vector = func.array_to_tsvector(func.string_to_array(PackageRow.words, " "))
        return vector.op("@@")(sa.cast(query, postgresql.TSQUERY))
    query = " ".join(f'"{word}"*' for word in words)
    found = sa.text("SELECT rowid FROM package_words WHERE package_words MATCH :words").bindparams(
        words=query
    )
    return PackageRow.row.in_(found.columns(sa.column("rowid", sa.Integer)))


def _order(column: ColumnElement[Any], sort: Sort) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    row_id = PackageTag.package_id if column.table is PackageTag.__table__ else PackageRow.id
    if sort.descending:
        return column.desc(), row_id.desc()
    return column.asc(), row_id.asc()


def _is_after(column: ColumnElement[Any], after: Cursor, sort: Sort) -> ColumnElement[bool]:
    row_id = PackageTag.package_id if column.table is PackageTag.__table__ else PackageRow.id
    position = sa.tuple_(column, row_id)
    last = sa.tuple_(sa.literal(after[0], column.type), sa.literal(after[1]))
    return position < last if sort.descending else position > last


def set_eta(row: PackageRow, eta: Eta | None) -> None:
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
