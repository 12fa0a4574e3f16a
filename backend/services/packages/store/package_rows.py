"""Rows of packages for exports: many rows, without objects of the session."""

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
    for query in select_page(session, tenant_id, conditions, sort, after):
        found = session.execute(
            query.with_only_columns(*_COLUMNS, order).limit(limit - len(rows))
        ).all()
        rows.extend(found)
        if len(rows) == limit:
            break
    if not rows:
        return [], None
    value: str | None = rows[-1][-1]
    packages = [PackageTexts._make(row[:-1]) for row in rows]
    last_time = None if value is None else datetime.fromisoformat(value).replace(tzinfo=UTC)
    return packages, (last_time, packages[-1].id)
