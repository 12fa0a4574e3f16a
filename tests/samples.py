"""Sample rows for tables of any revision, with values that are easily corrupted."""

import base64
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, text

from backend.operations.backup.format import row_transfer
from backend.operations.backup.format.schema_at_revision import Column, Table, get_tables
from backend.operations.backup.installation import set_search_path

NOON = datetime(2026, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
# Characters that transfers between databases have corrupted: quotes, tabs, line ends, \N.
_TEXT = 'Zoë\'s "notes"\\N\n\t\\\r %s :name 日本'
_VALUES: Mapping[str, tuple[Any, ...]] = {
    "text": (_TEXT, "", "second"),
    "integer": (7, -1, 0),
    "real": (0.1, -2.5e300, 3.0),
    "boolean": (True, False, True),
    "moment": (NOON, NOON.replace(microsecond=0), NOON.replace(year=1999)),
    "date": (date(2026, 2, 28), date(1999, 12, 31), date(2000, 2, 29)),
    "bytes": (b"\0\\x\xff\n", b"", b"third"),
    "json": ('{"a": [1, null, "\\u00e9\\t"]}', "[]", '"text"'),
}


def fill(connection: Connection, service: str, revision: str) -> None:
    """Insert three rows into each table; foreign keys refer to the row of the same number."""
    metadata = sa.MetaData()
    metadata.reflect(connection)
    for table in get_tables(service, revision):
        connection.execute(text(f'DELETE FROM "{table.name}"'))  # noqa: S608
        reflected = metadata.tables[table.name]
        rows = [_row(table, reflected, number) for number in range(3)]
        inserted = row_transfer.insert_rows(connection, table, rows)
        assert inserted == 3


def contents(connection: Connection, service: str, tables: Iterable[Table]) -> dict[str, list[str]]:
    """Return the rows of *tables* in the format of a backup, sorted."""
    set_search_path(connection, service)
    return {
        table.name: sorted(
            line.decode()
            for part in row_transfer.read_parts(connection, table)
            for line in part.splitlines()
        )
        for table in tables
    }


def _row(table: Table, reflected: sa.Table, number: int) -> list[Any]:
    return [_value(column, reflected.c[column.name], number) for column in table.columns]


def _value(column: Column, reflected: "sa.Column[Any]", number: int) -> Any:
    key = reflected.primary_key or reflected.foreign_keys or column.name.endswith("id")
    if reflected.nullable and not reflected.foreign_keys and number == 2:
        return None
    if column.kind == "text":
        value = f"{number + 1}" if key or _is_unique(reflected) else _VALUES["text"][number]
        return value[: reflected.type.length] if isinstance(reflected.type, sa.String) else value
    if column.kind == "integer" and (key or _is_unique(reflected)):
        return number + 1
    value = _VALUES[column.kind][number]
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, date):
        return value.isoformat()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _is_unique(column: "sa.Column[Any]") -> bool:
    """Return whether the column is part of a unique constraint or index."""
    constraints = [c for c in column.table.constraints if isinstance(c, sa.UniqueConstraint)]
    indexes = [index for index in column.table.indexes if index.unique]
    return any(column.name in key.columns for key in [*constraints, *indexes])
