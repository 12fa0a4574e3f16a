"""Export rows of SQLite or PostgreSQL to JSON lines and insert them into either.

A row is an array in the order of its table's columns. Timestamps are ISO 8601 in UTC, bytes are
base64. Values of JSON columns stay the original text, so that nothing in them changes.
"""

import base64
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, text

from backend.operations.backup.format.schema_at_revision import Column, Kind, Table

Row = Sequence[Any]
Converter = Callable[[Any], Any]
# Approximate size of a part, and of the rows in memory.
_PART_BYTES = 2**20
_MAX_FETCH_ROWS = 2000
_INSERT_ROWS = 500
_CURSOR = "backup_rows"


def read_parts(connection: Connection, table: Table) -> Iterator[bytes]:
    """Yield all rows of *table* as JSON lines, in parts of about 1 MB. No line is split."""
    if connection.dialect.name == "postgresql":
        rows = _fetch_from_postgresql(connection, table)
        converters = _get_converters(_FROM_POSTGRESQL, table)
    else:
        rows = _fetch_from_sqlite(connection, table)
        converters = _get_converters(_FROM_SQLITE, table)
    part = io.BytesIO()
    for row in rows:
        part.write(json.dumps(_convert_row(converters, row), ensure_ascii=False).encode())
        part.write(b"\n")
        if part.tell() >= _PART_BYTES:
            yield part.getvalue()
            part = io.BytesIO()
    if part.tell():
        yield part.getvalue()


def parse_rows(table: Table, part: bytes) -> Iterator[Row]:
    """Yield the rows of a part.

    Raises:
        ValueError: the content is not JSON or does not match the columns of *table*.
    """
    for line in part.splitlines():
        row = json.loads(line)
        if not isinstance(row, list) or len(row) != len(table.columns):
            raise ValueError(f"a row of {table.name} does not have {len(table.columns)} columns")
        for column, value in zip(table.columns, row, strict=True):
            if value is not None and not isinstance(value, _JSON_TYPES[column.kind]):
                raise ValueError(
                    f"a value of {table.name}.{column.name} is not of kind {column.kind}"
                )
        yield row


def insert_rows(connection: Connection, table: Table, rows: Iterable[Row]) -> int:
    """Insert *rows* into *table* and return their number."""
    insert = (
        _copy_into_postgresql if connection.dialect.name == "postgresql" else _insert_into_sqlite
    )
    count, batch = 0, []
    for row in rows:
        batch.append(row)
        count += 1
        if len(batch) >= _INSERT_ROWS:
            insert(connection, table, batch)
            batch = []
    if batch:
        insert(connection, table, batch)
    return count


def reset_sequences(connection: Connection, tables: Iterable[Table]) -> None:
    """Set PostgreSQL sequences to continue after the highest id. SQLite does this automatically."""
    if connection.dialect.name != "postgresql":
        return
    for table in tables:
        for column in table.columns:
            if column.kind == "integer" and _has_sequence(connection, table, column):
                connection.execute(
                    text(
                        f"SELECT setval(pg_get_serial_sequence(:table, :column), "  # noqa: S608
                        f'coalesce(max("{column.name}"), 0) + 1, false) FROM "{table.name}"'
                    ),
                    {"table": f'"{table.name}"', "column": column.name},
                )


def _has_sequence(connection: Connection, table: Table, column: Column) -> bool:
    query = text("SELECT pg_get_serial_sequence(:table, :column)")
    parameters = {"table": f'"{table.name}"', "column": column.name}
    return connection.scalar(query, parameters) is not None


def _fetch_from_sqlite(connection: Connection, table: Table) -> Iterator[Row]:
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    cursor = connection.connection.cursor()
    cursor.execute(f'SELECT {names} FROM "{table.name}"')  # noqa: S608
    while rows := cursor.fetchmany(100):
        yield from rows
    cursor.close()


def _fetch_from_postgresql(connection: Connection, table: Table) -> Iterator[Row]:
    """Use a cursor of the server: the driver would otherwise load all rows at once."""
    names = ", ".join(
        f'"{column.name}"' + ("::text" if column.kind == "json" else "") for column in table.columns
    )
    connection.execute(
        text(
            f"DECLARE {_CURSOR} NO SCROLL CURSOR FOR "  # noqa: S608
            f'SELECT {names} FROM "{table.name}"'
        )
    )
    fetch_rows = 50
    while rows := connection.execute(text(f"FETCH {fetch_rows} FROM {_CURSOR}")).all():
        yield from rows
        # Adapt the number of rows to their size, which differs widely between tables.
        size = sum(len(value) for row in rows for value in row if isinstance(value, str | bytes))
        if size > _PART_BYTES:
            fetch_rows = max(1, fetch_rows // 2)
        elif size < _PART_BYTES // 4:
            fetch_rows = min(_MAX_FETCH_ROWS, 2 * fetch_rows)
    connection.execute(text(f"CLOSE {_CURSOR}"))


def _insert_into_sqlite(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    converters = _get_converters(_TO_SQLITE, table)
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    placeholders = ", ".join("?" * len(table.columns))
    connection.exec_driver_sql(
        f'INSERT INTO "{table.name}" ({names}) VALUES ({placeholders})',  # noqa: S608
        [_convert_row(converters, row) for row in rows],
    )


def _copy_into_postgresql(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    converters = [_TO_COPY.get(column.kind, str) for column in table.columns]
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    lines = (
        "\t".join("\\N" if value is None else value for value in _convert_row(converters, row))
        for row in rows
    )
    stream = io.BytesIO("".join(f"{line}\n" for line in lines).encode())
    cursor: Any = connection.connection.cursor()
    try:
        cursor.execute(f'COPY "{table.name}" ({names}) FROM STDIN', stream=stream)
    except Exception as error:  # SQLAlchemy does not convert errors of the raw cursor
        raise sa.exc.DBAPIError.instance("COPY", None, error, Exception) from error
    finally:
        cursor.close()


def _get_converters(by_kind: Mapping[Kind, Converter], table: Table) -> list[Converter]:
    return [by_kind.get(column.kind, _identity) for column in table.columns]


def _convert_row(converters: Sequence[Converter], row: Row) -> tuple[Any, ...]:
    return tuple(
        None if value is None else convert(value)
        for convert, value in zip(converters, row, strict=True)
    )


def _identity(value: Any) -> Any:
    return value


def _format_timestamp(timestamp: datetime) -> str:
    is_naive = timestamp.tzinfo is None
    utc = timestamp.replace(tzinfo=UTC) if is_naive else timestamp.astimezone(UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _encode_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _escape_copy_text(value: str) -> str:
    # PostgreSQL cannot store NUL. Replace it by one character, so that offsets stay valid.
    value = value.replace("\0", "\ufffd")
    for character, escape in (("\\", r"\\"), ("\n", r"\n"), ("\r", r"\r"), ("\t", r"\t")):
        value = value.replace(character, escape)
    return value


def _format_copy_bytes(value: str) -> str:
    return rf"\\x{base64.b64decode(value).hex()}"


_JSON_TYPES: Mapping[Kind, type | tuple[type, ...]] = {
    "text": str,
    "json": str,
    "integer": int,
    "real": (int, float),
    "boolean": bool,
    "moment": str,
    "date": str,
    "bytes": str,
}
_FROM_SQLITE: Mapping[Kind, Converter] = {
    "boolean": bool,
    "moment": lambda value: _format_timestamp(datetime.fromisoformat(value)),
    "bytes": _encode_base64,
    # SQLite converts JSON text that looks like a number to a number, whatever the column type.
    "json": lambda value: value if isinstance(value, str) else json.dumps(value),
    "text": str,
}
_FROM_POSTGRESQL: Mapping[Kind, Converter] = {
    "moment": _format_timestamp,
    "date": date.isoformat,
    "bytes": _encode_base64,
    "real": float,
}
_TO_SQLITE: Mapping[Kind, Converter] = {
    "boolean": int,
    "moment": lambda value: value.replace("T", " ").rstrip("Z"),
    "bytes": base64.b64decode,
}
_TO_COPY: Mapping[Kind, Converter] = {
    "text": _escape_copy_text,
    "json": _escape_copy_text,
    "boolean": lambda value: "t" if value else "f",
    "bytes": _format_copy_bytes,
}
