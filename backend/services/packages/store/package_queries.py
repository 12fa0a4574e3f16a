"""Queries of the packages that match filters, in the order of a list.

On SQLite, the index of a query is chosen here: SQLite keeps no statistics of single values, and
would search 1,000 packages of a carrier among a million delivered ones. On PostgreSQL, the server
chooses it, except for searched words: row-level security keeps it from using an index of words, so
that a function reads it (migration 0012).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.sql.operators import custom_op

from backend.services.packages.model import (
    CLOSED_STATUSES,
    Cursor,
    PackageFilter,
    Sort,
    Status,
)
from backend.services.packages.store.package_search import (
    MAX_ROW,
    contains_words,
    count_hits,
    find_hits,
    is_in_index,
)
from backend.services.packages.store.tables import PackageRow, PackageTag

SORT_COLUMNS: Final[Mapping[str, InstrumentedAttribute[Any]]] = {
    "created_at": PackageRow.created_at,
    "updated_at": PackageRow.updated_at,
    "eta": PackageRow.eta_p50,
    "promised_at": PackageRow.promised_at,
    "delivered_at": PackageRow.delivered_at,
}
PackageQuery = Select[tuple[PackageRow]]

# Rows of an index that are counted to choose one, and how many may be sorted for a page.
_MAX_COUNTED: Final = 20_000
_MAX_SORTED: Final = 2_000
_SORT_INDEX: Final = "index of the sort column"
_ETA_INDEX: Final = "ix_packages_eta"
_TAG_INDEX: Final = "ix_package_tags_tag"
_SEARCH_INDEX: Final = "package_words"
_UNARY_PLUS: Final = custom_op[Any]("+")
# Hits of the search that the first query reads; each further one reads four times as many.
_HITS: Final = 250
_MAX_HITS: Final = 16_000


def select_page(
    session: Session,
    tenant_id: str,
    conditions: PackageFilter,
    sort: Sort,
    after: Cursor | None,
) -> Iterator[PackageQuery]:
    """Yield queries whose results, one after the other, are the packages after the cursor.

    Packages without a value of the sort column come last, with a query of their own.
    """
    index = None
    if _is_sqlite(session) or conditions.words:
        index = _find_index(session, tenant_id, conditions, sort)
    if index == _SEARCH_INDEX and sort.name == "created_at":
        yield from _select_search_hits(session, tenant_id, conditions, sort, after)
        return
    column: ColumnElement[Any] = SORT_COLUMNS[sort.name].expression
    row_id: ColumnElement[Any] = PackageRow.id.expression
    nullable = bool(SORT_COLUMNS[sort.name].expression.nullable)
    query = select_matching(session, tenant_id, conditions, index)
    if _is_sqlite(session) and index not in (None, _SORT_INDEX) and sort.name != "created_at":
        column = _without_index(column)
    if conditions.tag and sort.name == "created_at" and index in (None, _TAG_INDEX):
        # The index of tags has this order.
        column, row_id = PackageTag.created_at.expression, PackageTag.package_id.expression
    order = [_order(key, sort) for key in (column, row_id)]
    if (after is None or after[0] is not None) and not _is_always_null(conditions, sort):
        page = query.where(column.is_not(None)) if nullable else query
        if after is not None:
            page = page.where(_is_after(column, row_id, after, sort))
        yield page.order_by(*order)
    if nullable:
        page = query.where(column.is_(None)).order_by(order[1])
        if after is not None and after[0] is None:
            page = page.where(row_id < after[1] if sort.descending else row_id > after[1])
        yield page


def select_matching(
    session: Session, tenant_id: str, conditions: PackageFilter, index: str | None = None
) -> PackageQuery:
    """Return the query of the matching packages.

    Args:
        index: the only index of a filter that is used; None for any. PostgreSQL only distinguishes
            the search index.
    """
    is_sqlite = _is_sqlite(session)
    plain_index = index if is_sqlite else None
    tenant = PackageRow.tenant_id.expression
    query = select(PackageRow).where(
        (_without_index(tenant) if plain_index == _SEARCH_INDEX else tenant) == tenant_id,
        *_list_conditions(conditions, plain_index),
    )
    if conditions.words:
        has_words = is_in_index if index in (None, _SEARCH_INDEX) else contains_words
        query = query.where(has_words(session, conditions.words))
    if conditions.tag is None:
        return query
    if plain_index not in (None, _TAG_INDEX):
        has_tag = sa.exists().where(
            PackageTag.package_id == PackageRow.id, PackageTag.tag == conditions.tag
        )
        return query.where(has_tag)
    return query.join(PackageTag, PackageTag.package_id == PackageRow.id).where(
        PackageTag.tenant_id == tenant_id, PackageTag.tag == conditions.tag
    )


def _select_search_hits(
    session: Session,
    tenant_id: str,
    conditions: PackageFilter,
    sort: Sort,
    after: Cursor | None,
) -> Iterator[PackageQuery]:
    """Yield queries for searched packages in the order of their creation.

    Rows are numbered in the order of creation. Each query reads a range of rows with some hundred
    hits, so that a frequent word needs no list of all its hits.
    """
    low, high, limit = 0, MAX_ROW, _HITS
    if after is not None:
        row = _find_row_after(session, tenant_id, after, sort)
        if row is None:
            return
        low, high = (0, row) if sort.descending else (row, MAX_ROW)
    others = select_matching(session, tenant_id, replace(conditions, words=()), _SEARCH_INDEX)
    others = others.order_by(_order(PackageRow.row.expression, sort))
    while low <= high:
        hits = find_hits(session, conditions.words, low, high, limit, newest_first=sort.descending)
        if hits is None:
            return
        yield others.where(hits.condition)
        if hits.count < limit:
            return
        if sort.descending:
            high = hits.lowest_row - 1
        else:
            low = hits.highest_row + 1
        limit = min(limit * 4, _MAX_HITS)


def _find_row_after(session: Session, tenant_id: str, after: Cursor, sort: Sort) -> int | None:
    """Return the row after the cursor in the order of creation, or None at the end."""
    is_tenant = PackageRow.tenant_id == tenant_id
    row = session.scalar(select(PackageRow.row).where(is_tenant, PackageRow.id == after[1]))
    if row is not None:
        return row - 1 if sort.descending else row + 1
    # The package of the cursor was deleted.
    created_at, row_id = PackageRow.created_at.expression, PackageRow.id.expression
    return session.scalar(
        select(PackageRow.row)
        .where(is_tenant, _is_after(created_at, row_id, after, sort))
        .order_by(_order(created_at, sort), _order(row_id, sort))
        .limit(1)
    )


def _find_index(
    session: Session, tenant_id: str, conditions: PackageFilter, sort: Sort
) -> str | None:
    """Return the index of the filter with the fewest matching rows.

    Returns _SORT_INDEX if too many rows would have to be sorted, and None to let the database
    choose.
    """
    is_tenant = PackageRow.tenant_id == tenant_id
    filters: list[tuple[str, Sequence[ColumnElement[bool]]]] = [
        (index, (is_tenant, column == value)) for index, column, value in _list_indexed(conditions)
    ]
    if conditions.tag is not None:
        has_tag = (PackageTag.tenant_id == tenant_id, PackageTag.tag == conditions.tag)
        filters.append((_TAG_INDEX, has_tag))
    eta = PackageRow.eta_p50.expression
    times = _list_times(eta, conditions.eta_since, conditions.eta_until)
    if times and sort.name != "eta":
        filters.append((_ETA_INDEX, (is_tenant, *times)))
    names = [index for index, _ in filters] + ([_SEARCH_INDEX] if conditions.words else [])
    if not names:
        return None
    if len(names) == 1 and sort.name == "created_at" and names != [_ETA_INDEX]:
        return names[0]
    counts = [(_count_rows(session, matching), index) for index, matching in filters]
    count, index = min(counts, default=(_MAX_COUNTED, _SORT_INDEX))
    is_sorted = sort.name == "created_at"
    if conditions.words:
        if is_sorted and count >= _MAX_COUNTED:
            return _SEARCH_INDEX
        limit = count if is_sorted else min(count, _MAX_SORTED)
        hits = count_hits(session, conditions.words, limit)
        if hits < limit:
            count, index = hits, _SEARCH_INDEX
    is_sorted = is_sorted and index != _ETA_INDEX
    return index if is_sorted or count < _MAX_SORTED else _SORT_INDEX


def _count_rows(session: Session, conditions: Sequence[ColumnElement[bool]]) -> int:
    """Return the number of rows that match, at most _MAX_COUNTED."""
    rows = select(sa.literal(1)).where(*conditions).limit(_MAX_COUNTED).subquery()
    return session.scalar(select(func.count()).select_from(rows)) or 0


def _is_always_null(conditions: PackageFilter, sort: Sort) -> bool:
    """Return whether no matching package can have a value of the sort column."""
    if conditions.status is None:
        return False
    if sort.name == "delivered_at":
        return conditions.status != Status.DELIVERED
    return sort.name == "eta" and conditions.status in CLOSED_STATUSES


def _list_conditions(conditions: PackageFilter, index: str | None) -> Iterator[ColumnElement[bool]]:
    for name, column, value in _list_indexed(conditions):
        yield (column if index in (None, name) else _without_index(column)) == value
    created_at, eta = PackageRow.created_at.expression, PackageRow.eta_p50.expression
    yield from _list_times(
        _without_index(created_at) if index in (_ETA_INDEX, _SEARCH_INDEX) else created_at,
        conditions.created_since,
        conditions.created_until,
    )
    yield from _list_times(
        eta if index in (None, _ETA_INDEX) else _without_index(eta),
        conditions.eta_since,
        conditions.eta_until,
    )


def _list_indexed(
    conditions: PackageFilter,
) -> Iterator[tuple[str, ColumnElement[Any], str | bool]]:
    """Yield index, column and value of the filters with an index in the order of `created_at`."""
    for name, column, value in (
        ("status", PackageRow.status, conditions.status and str(conditions.status)),
        ("carrier", PackageRow.carrier, conditions.carrier),
        ("number", PackageRow.number, conditions.number),
        ("reference", PackageRow.reference, conditions.reference),
        ("late", PackageRow.is_late, conditions.late),
    ):
        if value is not None:
            yield f"ix_packages_{name}", column.expression, value
    for names, key, country, place in (
        (
            ("origin", "from_country"),
            PackageRow.origin_key,
            PackageRow.origin_country,
            conditions.origin,
        ),
        (
            ("destination", "to_country"),
            PackageRow.destination_key,
            PackageRow.destination_country,
            conditions.destination,
        ),
    ):
        if place is not None and len(place) == 2 and place.isalpha():
            yield f"ix_packages_{names[1]}", country.expression, place.upper()
        elif place is not None:
            yield f"ix_packages_{names[0]}", key.expression, _get_place_key(place)


def _get_place_key(value: str) -> str:
    if ":" in value:
        kind, _, rest = value.partition(":")
        if kind in ("code", "place"):
            return value
        return f"place:{kind.casefold()}:{rest.casefold()}"
    return f"code:{value.upper()}"


def _list_times(
    column: ColumnElement[Any], earliest: datetime | None, latest: datetime | None
) -> list[ColumnElement[bool]]:
    conditions = []
    if earliest is not None:
        conditions.append(column >= earliest)
    if latest is not None:
        conditions.append(column < latest)
    return conditions


def _without_index(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return *column* with an operator for which SQLite uses no index.

    https://www.sqlite.org/optoverview.html, "Disqualifying WHERE Clause Terms Using Unary +"
    """
    return sa.UnaryExpression(column, operator=_UNARY_PLUS, type_=column.type)


def _is_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"


def _order(column: ColumnElement[Any], sort: Sort) -> ColumnElement[Any]:
    return column.desc() if sort.descending else column.asc()


def _is_after(
    column: ColumnElement[Any], row_id: ColumnElement[Any], after: Cursor, sort: Sort
) -> ColumnElement[bool]:
    position = sa.tuple_(column, row_id)
    last = sa.tuple_(sa.literal(after[0], column.type), sa.literal(after[1]))
    return position < last if sort.descending else position > last
