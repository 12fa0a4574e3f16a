"""Tables and columns of a service at a revision, as its migrations create them."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa

from backend.chassis.database.sessions import open_database

Kind = Literal["text", "integer", "real", "boolean", "moment", "date", "bytes", "json"]

# The first match counts: specific types come before general ones.
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
    """A column and the kind of its values. Kinds are stored in backups."""

    name: str
    kind: Kind


class Table(NamedTuple):
    """A table with its columns in order."""

    name: str
    columns: tuple[Column, ...]


@cache
def get_tables(service: str, revision: str) -> tuple[Table, ...]:
    """Return the tables of *service* at *revision*, parents before children.

    They are read from an empty SQLite file migrated to that revision. So the result does not
    depend on the database of the rows, and old revisions are supported, although the models
    describe the newest one only.
    """
    with tempfile.TemporaryDirectory(prefix="tables-") as folder:
        database = open_database(f"sqlite:///{Path(folder) / 'empty.db'}", service)
        database.migrate(service, revision)
        metadata = sa.MetaData()
        with database.as_owner() as connection:
            metadata.reflect(connection, only=_list_tables(connection))
        database.engine.dispose()
    return tuple(
        Table(table.name, tuple(Column(column.name, _get_kind(column)) for column in table.columns))
        for table in metadata.sorted_tables
        if not table.name.startswith("alembic_version")
    )


def _list_tables(connection: sa.Connection) -> list[str]:
    """Return the names of the tables without virtual ones and the tables in which they store.

    A virtual table is a search index on rows of other tables, and triggers keep it up to date.
    """
    virtual = connection.scalars(
        sa.text("SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%'")
    ).all()
    prefixes = tuple(f"{name}_" for name in virtual)
    names = sa.inspect(connection).get_table_names()
    return [name for name in names if name not in virtual and not name.startswith(prefixes)]


def _get_kind(column: "sa.Column[Any]") -> Kind:
    for column_type, kind in _KINDS:
        if isinstance(column.type, column_type):
            return kind
    raise TypeError(
        f"{column.table.name}.{column.name}: backups do not support the type {column.type!r}."
    )
