"""Column types and SQL functions that behave alike on SQLite and PostgreSQL."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import DateTime, Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Float, String, TypeDecorator

# Of a time in the format of SQLAlchemy: 2030-01-31 12:00:00.000000.
_SQLITE_LENGTH: Final = 26


class UtcDateTime(TypeDecorator[datetime]):
    """Time zone aware datetime in UTC on every database. SQLite itself stores no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is not None and value.tzinfo is None:
            raise ValueError("A datetime without a time zone must not be stored.")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    # On SQLite, which stores text, without a datetime that has no time zone in between: a row has
    # up to ten times, and converting them takes longer than reading the row.

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], Any] | None:
        if dialect.name != "sqlite":
            return super().bind_processor(dialect)
        return self._format_for_sqlite

    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[Any], datetime | None] | None:
        if dialect.name != "sqlite":
            return super().result_processor(dialect, coltype)
        return _parse_of_sqlite

    def _format_for_sqlite(self, value: datetime | None) -> str | None:
        if value is None:
            return None
        if value.tzinfo is not UTC:
            if value.tzinfo is None:
                raise ValueError("A datetime without a time zone must not be stored.")
            value = value.astimezone(UTC)
        return value.isoformat(" ", "microseconds")[:_SQLITE_LENGTH]


def _parse_of_sqlite(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(f"{value}+00:00")


class utc_day(FunctionElement[str]):  # noqa: N801 - called like func.date
    """SQL function: the UTC day of a `UtcDateTime` column as text, such as 2030-01-31."""

    type = String()
    inherit_cache = True


@compiles(utc_day)
def _compile_utc_day(element: utc_day, compiler: SQLCompiler, **kw: Any) -> str:
    # SQLite stores a datetime as text.
    return f"substr({compiler.process(element.clauses, **kw)}, 1, 10)"


@compiles(utc_day, "postgresql")
def _compile_utc_day_postgresql(element: utc_day, compiler: SQLCompiler, **kw: Any) -> str:
    column = compiler.process(element.clauses, **kw)
    return f"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD')"


class utc_text(FunctionElement[str]):  # noqa: N801 - called like func.date
    """SQL function: a `UtcDateTime` column as text, such as 2030-01-31 12:00:00.000000.

    For queries of many rows: no datetime is built for each value.
    """

    type = String()
    inherit_cache = True


@compiles(utc_text)
def _compile_utc_text(element: utc_text, compiler: SQLCompiler, **kw: Any) -> str:
    # SQLite stores a datetime in this format.
    return compiler.process(element.clauses, **kw)


@compiles(utc_text, "postgresql")
def _compile_utc_text_postgresql(element: utc_text, compiler: SQLCompiler, **kw: Any) -> str:
    column = compiler.process(element.clauses, **kw)
    return f"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"


class hours_between(FunctionElement[float]):  # noqa: N801 - called like func.date
    """SQL function: the hours from the first to the second of two `UtcDateTime` columns."""

    type = Float()
    inherit_cache = True


@compiles(hours_between)
def _compile_hours_between(element: hours_between, compiler: SQLCompiler, **kw: Any) -> str:
    start, end = (compiler.process(column, **kw) for column in element.clauses)
    return f"((julianday({end}) - julianday({start})) * 24)"


@compiles(hours_between, "postgresql")
def _compile_hours_between_postgresql(
    element: hours_between, compiler: SQLCompiler, **kw: Any
) -> str:
    start, end = (compiler.process(column, **kw) for column in element.clauses)
    return f"(EXTRACT(EPOCH FROM {end} - {start})::double precision / 3600)"
