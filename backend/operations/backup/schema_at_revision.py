"""What the tables of a service are like at a revision: as its migrations make them."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa

from backend.chassis.database.sessions import open_database

Kind = Literal["text", "integer", "real", "boolean", "moment", "date", "bytes", "json"]

# The more particular ones first.
_KINDS: tuple[tuple[type[sa.types.TypeEngine[Any]], Kind], ...] = (
    (sa.JSON, "json"),
    (sa.Boolean, "boolean"),
    (sa.Integer, "integer"),
    (sa.Numeric, "real"),
    (sa.DateTime, "moment"),
    (sa.Date, "date"),
    (sa.LargeBinary, "bytes"),
    (sa.String, "text"),
)


class Column(NamedTuple):
    """A column and what is in it."""

    name: str
    kind: Kind


class Table(NamedTuple):
    """A table, of which others may be parents that come before it."""

    name: str
    columns: tuple[Column, ...]


@cache
def shapes(service: str, revision: str) -> tuple[Table, ...]:
    """The tables of *service* at *revision*, parents before children.

    Asked of an empty SQLite file that is migrated so far, so that it is the same whatever
    database the rows are in, and for revisions of which no code speaks any more.
    """
    with tempfile.TemporaryDirectory(prefix="tables-") as folder:
        database = open_database(f"sqlite:///{Path(folder) / 'empty.db'}", service)
        database.migrate(service, revision)
        known = sa.MetaData()
        with database.as_owner() as connection:
            known.reflect(connection)
        database.engine.dispose()
    return tuple(
        Table(table.name, tuple(Column(each.name, _kind(each)) for each in table.columns))
        for table in known.sorted_tables
        if not table.name.startswith("alembic_version")
    )


def _kind(column: "sa.Column[Any]") -> Kind:
    for of_type, kind in _KINDS:
        if isinstance(column.type, of_type):
            return kind
    raise TypeError(f"{column.table.name}.{column.name}: a backup knows no {column.type!r}.")
