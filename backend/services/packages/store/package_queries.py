"""Queries of the packages that match filters, in the order of a list.

On SQLite, the index of a query is chosen here: SQLite keeps no statistics of single values, and
would search 1,000 packages of a carrier among a million delivered ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.sql.operators import custom_op

from backend.services.packages.model import (
    CLOSED_STATUSES,
    Cursor,
    PackageFilter,
    Sort,
    Status,
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
_MAX_ROW: Final = 2**62
_HIT_COUNT: Final = sa.text(
    "SELECT count(*) FROM (SELECT rowid FROM package_words WHERE package_words MATCH :words "
    "LIMIT :count)"
)
_IS_HIT: Final = sa.text(
    "EXISTS (SELECT 1 FROM package_words WHERE package_words MATCH :words AND rowid = packages.row)"
)
_HIT_ROWS: Final = sa.text(
    "SELECT rowid FROM package_words WHERE package_words MATCH :words "
    "AND rowid BETWEEN :low AND :high"
)
# By whether the newest come first: the number of hits, the lowest row and the highest.
_HIT_BOUNDS: Final = {
    descending: sa.text(
        "SELECT count(*), min(rowid), max(rowid) FROM (SELECT rowid FROM package_words "  # noqa: S608
        "WHERE package_words MATCH :words AND rowid BETWEEN :low AND :high "
        f"ORDER BY rowid {order} LIMIT :count)"
    )
    for descending, order in ((True, "DESC"), (False, "ASC"))
}


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
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    index = _find_index(session, tenant_id, conditions, sort) if is_sqlite else None
    if index == _SEARCH_INDEX and sort.name == "created_at":
        yield from _select_search_hits(session, tenant_id, conditions, sort, after)
        return
    column: ColumnElement[Any] = SORT_COLUMNS[sort.name].expression
    row_id: ColumnElement[Any] = PackageRow.id.expression
    nullable = bool(SORT_COLUMNS[sort.name].expression.nullable)
    query = select_matching(session, tenant_id, conditions, index)
    if index not in (None, _SORT_INDEX) and sort.name != "created_at":
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
        index: on SQLite, the only index of a filter that is used; None for any.
    """
    tenant = PackageRow.tenant_id.expression
    query = select(PackageRow).where(
        (_without_index(tenant) if index == _SEARCH_INDEX else tenant) == tenant_id,
        *_list_conditions(session, conditions, index),
    )
    if conditions.tag is None:
        return query
    if index not in (None, _TAG_INDEX):
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
    """Yield queries for searched packages in the order of their creation, on SQLite.

    Rows are numbered in the order of creation, and the search index returns them in the order of
    their numbers. Each query reads a range of rows with some hundred hits, so that a frequent
    word needs no list of all its hits.
    """
    words, count = _build_match(conditions.words), _HITS
    low, high = 0, _MAX_ROW
    if after is not None:
        last = session.scalar(select(PackageRow.row).where(PackageRow.id == after[1]))
        if last is not None:
            low, high = (0, last) if sort.descending else (last, _MAX_ROW)
    while low <= high:
        values = {"words": words, "low": low, "high": high, "count": count}
        hits, first, last = session.execute(_HIT_BOUNDS[sort.descending], values).one()
        if not hits:
            return
        rows = _HIT_ROWS.bindparams(words=words, low=first, high=last)
        without_words = replace(conditions, words=())
        query = select_matching(session, tenant_id, without_words, _SEARCH_INDEX).where(
            PackageRow.row.in_(rows.columns(sa.column("rowid", sa.Integer)))
        )
        created_at = _without_index(PackageRow.created_at.expression)
        row_id = PackageRow.id.expression
        if after is not None:
            query = query.where(_is_after(created_at, row_id, after, sort))
        yield query.order_by(_order(created_at, sort), _order(row_id, sort))
        if hits < count:
            return
        low, high = (low, first - 1) if sort.descending else (last + 1, high)
        count *= 4


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
    if conditions.words:
        counts.append((_count_hits(session, conditions.words), _SEARCH_INDEX))
    count, index = min(counts)
    is_sorted = sort.name == "created_at" and index != _ETA_INDEX
    return index if is_sorted or count < _MAX_SORTED else _SORT_INDEX


def _count_rows(session: Session, conditions: Sequence[ColumnElement[bool]]) -> int:
    """Return the number of rows that match, at most _MAX_COUNTED."""
    rows = select(sa.literal(1)).where(*conditions).limit(_MAX_COUNTED).subquery()
    return session.scalar(select(func.count()).select_from(rows)) or 0


def _count_hits(session: Session, words: Sequence[str]) -> int:
    """Return the number of packages that the search index finds, at most _MAX_COUNTED."""
    values = {"words": _build_match(words), "count": _MAX_COUNTED}
    return session.scalar(_HIT_COUNT, values) or 0


def _is_always_null(conditions: PackageFilter, sort: Sort) -> bool:
    """Return whether no matching package can have a value of the sort column."""
    if conditions.status is None:
        return False
    if sort.name == "delivered_at":
        return conditions.status != Status.DELIVERED
    return sort.name == "eta" and conditions.status in CLOSED_STATUSES


def _list_conditions(
    session: Session, conditions: PackageFilter, index: str | None
) -> Iterator[ColumnElement[bool]]:
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
    if conditions.words:
        yield _has_words(session, conditions.words, index)


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


def _has_words(session: Session, words: Sequence[str], index: str | None) -> ColumnElement[bool]:
    # Words consist of letters and digits only, so that no operator can be in them.
    if session.get_bind().dialect.name == "postgresql":
        query = " & ".join(f"'{word}':*" for word in words)
        vector = func.array_to_tsvector(func.string_to_array(PackageRow.words, " "))
        return vector.op("@@")(sa.cast(query, postgresql.TSQUERY))
    if index not in (None, _SEARCH_INDEX):
        # Other conditions leave few packages: each is looked up in the search index.
        return sa.type_coerce(_IS_HIT.bindparams(words=_build_match(words)), sa.Boolean)
    rows = _HIT_ROWS.bindparams(words=_build_match(words), low=0, high=_MAX_ROW)
    return PackageRow.row.in_(rows.columns(sa.column("rowid", sa.Integer)))


def _build_match(words: Sequence[str]) -> str:
    return " ".join(f'"{word}"*' for word in words)


def _without_index(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return *column* with an operator for which SQLite uses no index.

    https://www.sqlite.org/optoverview.html, "Disqualifying WHERE Clause Terms Using Unary +"
    """
    return sa.UnaryExpression(column, operator=_UNARY_PLUS, type_=column.type)


def _order(column: ColumnElement[Any], sort: Sort) -> ColumnElement[Any]:
    return column.desc() if sort.descending else column.asc()


def _is_after(
    column: ColumnElement[Any], row_id: ColumnElement[Any], after: Cursor, sort: Sort
) -> ColumnElement[bool]:
    position = sa.tuple_(column, row_id)
    last = sa.tuple_(sa.literal(after[0], column.type), sa.literal(after[1]))
    return position < last if sort.descending else position > last
