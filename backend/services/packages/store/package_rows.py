"""Rows of packages for exports: many rows, without objects of the session."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from backend.chassis.database.types import utc_text
from backend.services.packages.model import Cursor, PackageFilter, PackageTexts, Sort
from backend.services.packages.store.package_queries import SORT_COLUMNS, select_page
from backend.services.packages.store.tables import PackageRow

_TIMES: Final = frozenset(
    {
        *("started_at", "delivered_at", "shipped_at", "promised_at"),
        *("eta_p10", "eta_p50", "eta_p90", "created_at", "updated_at"),
    }
)
_PROBABILITY: Final = PackageTexts._fields.index("late_probability")
_JSON: Final = frozenset({"last_event", "origin", "destination", "tags", "metadata"})


def _list_columns() -> list[sa.ColumnElement[Any]]:
    columns: list[sa.ColumnElement[Any]] = []
    for name in PackageTexts._fields:
        attribute = PackageRow.metadata_ if name == "metadata" else getattr(PackageRow, name)
        column: sa.ColumnElement[Any] = attribute.expression
        if name in _TIMES:
            column = utc_text(column)
        elif name in _JSON:
            column = sa.cast(column, sa.Text)
        columns.append(column.label(name))
    return columns


_COLUMNS: Final = _list_columns()


def list_rows(
    session: Session,
    tenant_id: str,
    conditions: PackageFilter,
    sort: Sort,
    limit: int,
    after: Cursor | None,
) -> tuple[list[PackageTexts], Cursor | None]:
    """Return up to *limit* packages after the cursor, and the cursor of the last one."""
    order = utc_text(SORT_COLUMNS[sort.name].expression).label("sort_value")
    rows: list[Sequence[Any]] = []
    read = _read_json if session.get_bind().dialect.name == "postgresql" else _read_rows
    for query in select_page(session, tenant_id, conditions, sort, after):
        rows += read(session, query.with_only_columns(*_COLUMNS, order).limit(limit - len(rows)))
        if len(rows) == limit:
            break
    if not rows:
        return [], None
    value: str | None = rows[-1][-1]
    packages = [PackageTexts._make(row[:-1]) for row in rows]
    last_time = None if value is None else datetime.fromisoformat(value).replace(tzinfo=UTC)
    return packages, (last_time, packages[-1].id)


def _read_rows(session: Session, query: sa.Select[Any]) -> Sequence[Sequence[Any]]:
    return session.execute(query).all()


def _read_json(session: Session, query: sa.Select[Any]) -> Sequence[Sequence[Any]]:
    """Return the rows of *query*, which PostgreSQL joins to one JSON text.

    The driver is written in Python, and decodes each value of a row in a function call.
    """
    rows = query.subquery()
    text = session.scalar(
        sa.select(sa.cast(sa.func.json_agg(sa.func.json_build_array(*rows.c)), sa.Text))
    )
    found: list[list[Any]] = json.loads(text) if text else []
    for row in found:
        # JSON of PostgreSQL writes 1.0 as 1.
        if row[_PROBABILITY] is not None:
            row[_PROBABILITY] = float(row[_PROBABILITY])
    return found
