"""Rows on their way: out of either database, through JSON, and into either.

A row is an array in the order of its table's columns. Moments are ISO 8601 in UTC, bytes are
base64, and what a JSON column holds stays the text that it is, so that nothing in it changes.
"""

import base64
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, text

from backend.operations.backup.schema_at_revision import Column, Kind, Table

Row = Sequence[Any]
# About how much of a table is in memory at a time.
_COMFORTABLE_BYTES = 2**20
_MOST_ROWS = 2000
_LOADED_AT_ONCE = 500
_CURSOR = "backup_rows"


def read(connection: Connection, table: Table) -> Iterator[bytes]:
    """All rows of *table*, in parts of whole lines."""
    if connection.dialect.name == "postgresql":
        pages = _postgresql_pages(connection, table)
        plain: Mapping[Kind, Callable[[Any], Any]] = _FROM_POSTGRESQL
    else:
        pages = _sqlite_pages(connection, table)
        plain = _FROM_SQLITE
    convert = [plain.get(column.kind, _as_it_is) for column in table.columns]
    part = io.BytesIO()
    for row in pages:
        values = [
            None if value is None else way(value) for way, value in zip(convert, row, strict=True)
        ]
        part.write(json.dumps(values, ensure_ascii=False).encode())
        part.write(b"\n")
        if part.tell() >= _COMFORTABLE_BYTES:
            yield part.getvalue()
            part = io.BytesIO()
    if part.tell():
        yield part.getvalue()


def parse(table: Table, part: bytes) -> Iterator[Row]:
    """The rows of a part, or ValueError."""
    for line in part.splitlines():
        row = json.loads(line)
        if not isinstance(row, list) or len(row) != len(table.columns):
            raise ValueError(f"a row of {table.name} has other columns")
        for column, value in zip(table.columns, row, strict=True):
            if value is not None and not isinstance(value, _IN_JSON[column.kind]):
                raise ValueError(f"{table.name}.{column.name} holds no {column.kind}")
        yield row


def load(connection: Connection, table: Table, rows: Iterable[Row]) -> int:
    """Put *rows* into *table*; how many there were."""
    put = _copy_in if connection.dialect.name == "postgresql" else _insert
    count, batch = 0, []
    for row in rows:
        batch.append(row)
        count += 1
        if len(batch) >= _LOADED_AT_ONCE:
            put(connection, table, batch)
            batch = []
    if batch:
        put(connection, table, batch)
    return count


def go_on_counting(connection: Connection, tables: Iterable[Table]) -> None:
    """Let what numbers rows by itself go on behind the rows there are; SQLite does so anyway."""
    if connection.dialect.name != "postgresql":
        return
    for table in tables:
        for column in table.columns:
            if column.kind == "integer" and _counts(connection, table, column):
                connection.execute(
                    text(
                        f"SELECT setval(pg_get_serial_sequence(:table, :column), "  # noqa: S608
                        f'coalesce(max("{column.name}"), 0) + 1, false) FROM "{table.name}"'
                    ),
                    {"table": f'"{table.name}"', "column": column.name},
                )


def _counts(connection: Connection, table: Table, column: Column) -> bool:
    sequence = text("SELECT pg_get_serial_sequence(:table, :column)")
    asked = {"table": f'"{table.name}"', "column": column.name}
    return connection.scalar(sequence, asked) is not None


def _sqlite_pages(connection: Connection, table: Table) -> Iterator[Row]:
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    cursor = connection.connection.cursor()
    cursor.execute(f'SELECT {names} FROM "{table.name}"')  # noqa: S608
    while rows := cursor.fetchmany(100):
        yield from rows
    cursor.close()


def _postgresql_pages(connection: Connection, table: Table) -> Iterator[Row]:
    """By a cursor on the server: its driver would take all rows at once."""
    names = ", ".join(
        f'"{column.name}"' + ("::text" if column.kind == "json" else "") for column in table.columns
    )
    connection.execute(
        text(
            f"DECLARE {_CURSOR} NO SCROLL CURSOR FOR "  # noqa: S608
            f'SELECT {names} FROM "{table.name}"'
        )
    )
    at_once = 50
    while rows := connection.execute(text(f"FETCH {at_once} FROM {_CURSOR}")).all():
        yield from rows
        # Rows of some tables are whole texts, of others a few letters.
        size = sum(len(value) for row in rows for value in row if isinstance(value, str | bytes))
        if size > _COMFORTABLE_BYTES:
            at_once = max(1, at_once // 2)
        elif size < _COMFORTABLE_BYTES // 4:
            at_once = min(_MOST_ROWS, 2 * at_once)
    connection.execute(text(f"CLOSE {_CURSOR}"))


def _insert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    convert = [_TO_SQLITE.get(column.kind, _as_it_is) for column in table.columns]
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    places = ", ".join("?" * len(table.columns))
    connection.exec_driver_sql(
        f'INSERT INTO "{table.name}" ({names}) VALUES ({places})',  # noqa: S608
        [_converted(convert, row) for row in rows],
    )


def _copy_in(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    convert = [_TO_COPY.get(column.kind, str) for column in table.columns]
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    lines = (
        "\t".join("\\N" if value is None else value for value in _converted(convert, row))
        for row in rows
    )
    stream = io.BytesIO("".join(f"{line}\n" for line in lines).encode())
    cursor: Any = connection.connection.cursor()
    try:
        cursor.execute(f'COPY "{table.name}" ({names}) FROM STDIN', stream=stream)
    except Exception as error:
        # The driver's own errors pass by SQLAlchemy here.
        raise sa.exc.DBAPIError.instance("COPY", None, error, Exception) from error
    finally:
        cursor.close()


def _converted(convert: Sequence[Callable[[Any], Any]], row: Row) -> tuple[Any, ...]:
    return tuple(
        None if value is None else way(value) for way, value in zip(convert, row, strict=True)
    )


def _as_it_is(value: Any) -> Any:
    return value


def _iso(moment: datetime) -> str:
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _to_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _copied_text(value: str) -> str:
    # PostgreSQL keeps no NUL. One letter for another, so that positions in a text stay true.
    value = value.replace("\0", "\ufffd")
    for letter, escape in (("\\", r"\\"), ("\n", r"\n"), ("\r", r"\r"), ("\t", r"\t")):
        value = value.replace(letter, escape)
    return value


def _copied_bytes(value: str) -> str:
    return rf"\\x{base64.b64decode(value).hex()}"


_IN_JSON: Mapping[Kind, type | tuple[type, ...]] = {
    "text": str,
    "json": str,
    "integer": int,
    "real": (int, float),
    "boolean": bool,
    "moment": str,
    "date": str,
    "bytes": str,
}
_FROM_SQLITE: Mapping[Kind, Callable[[Any], Any]] = {
    "boolean": bool,
    "moment": lambda value: _iso(datetime.fromisoformat(value)),
    "bytes": _to_base64,
    # To SQLite, what looks like a number is one, whatever the column is called.
    "json": lambda value: value if isinstance(value, str) else json.dumps(value),
    "text": str,
}
_FROM_POSTGRESQL: Mapping[Kind, Callable[[Any], Any]] = {
    "moment": _iso,
    "date": date.isoformat,
    "bytes": _to_base64,
    "real": float,
}
_TO_SQLITE: Mapping[Kind, Callable[[Any], Any]] = {
    "boolean": int,
    "moment": lambda value: value.replace("T", " ").rstrip("Z"),
    "bytes": base64.b64decode,
}
_TO_COPY: Mapping[Kind, Callable[[Any], Any]] = {
    "text": _copied_text,
    "json": _copied_text,
    "boolean": lambda value: "t" if value else "f",
    "bytes": _copied_bytes,
}
