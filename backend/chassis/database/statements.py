"""Statements that run for each request, compiled once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import (
    ColumnElement,
    Compiled,
    Connection,
    CursorResult,
    Delete,
    Dialect,
    Insert,
    Row,
    Select,
    Update,
    select,
)
from sqlalchemy.orm import Mapper, Session, class_mapper, make_transient_to_detached
from sqlalchemy.orm.attributes import instance_state, set_committed_value

T = TypeVar("T")
# Key in `Session.info`: the connection of the session's only transaction.
_CONNECTION: Final = "connection"


def keep_connection(session: Session) -> None:
    """Keep the connection of *session*, which has one transaction, for compiled statements.

    The session looks it up again for each statement, which takes as long as a short statement.
    """
    session.info[_CONNECTION] = session.connection()


def _get_connection(session: Session) -> Connection:
    connection: Connection | None = session.info.get(_CONNECTION)
    # The session raises an error if its transaction was rolled back.
    return session.connection() if connection is None or not session.is_active else connection


class CompiledStatement:
    """A statement on tables that is compiled at its first use.

    A session computes a key of each statement that it executes, to find its compiled form, and
    looks for ORM options. This takes longer than most of the statements themselves.

    Rows are not instances, and lists as parameters are not supported.

    Args:
        statement: with `bindparam` for values.
        names: the columns of an insert without values. Each row must have them all.
    """

    def __init__(
        self,
        statement: Select[Any] | Insert | Update | Delete,
        names: Iterable[str] | None = None,
    ) -> None:
        self._statement = statement
        self._names = None if names is None else list(names)
        self._compiled: dict[Dialect, Compiled] = {}

    def execute(
        self, session: Session, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> CursorResult[Any]:
        """Flush the session and execute the statement, once for each of a list of *parameters*."""
        session.flush()
        connection = _get_connection(session)
        compiled = self._compiled.get(connection.dialect)
        if compiled is None:
            compiled = self._compile(connection.dialect)
        return connection.execute(compiled, parameters)  # type: ignore[call-overload,no-any-return] # compiled

    def _compile(self, dialect: Dialect) -> Compiled:
        compiled = self._statement.compile(dialect=dialect, column_keys=self._names)
        self._compiled[dialect] = compiled
        return compiled


class CompiledQuery(Generic[T]):
    """A query for instances of a mapped class that is compiled at its first use.

    It does what the ORM does for a query with all columns and no relationships, without the
    work to find out at each execution that this is the case.

    Args:
        model: the mapped class.
        conditions: with `bindparam` for values, on columns of the class.
        order_by: the instance with the first row is returned.
        on_load: called with the instance when its columns are set, as for the event `load`.
    """

    def __init__(
        self,
        model: type[T],
        *conditions: ColumnElement[bool],
        order_by: Sequence[ColumnElement[Any]] = (),
        on_load: Callable[[Session, T], None] = lambda _session, _instance: None,
    ) -> None:
        self._model = model
        self._conditions = conditions
        self._order_by = order_by
        self._on_load = on_load

    def find_first(self, session: Session, parameters: Mapping[str, Any]) -> T | None:
        """Flush the session and return the first instance, or None.

        An instance that the session has already gets the columns of the row.
        """
        row = self._statement.execute(session, parameters).first()
        return None if row is None else self._load(session, row)

    # Built at the first use, when all classes are mapped.
    @cached_property
    def _statement(self) -> CompiledStatement:
        columns = self._mapper.local_table.c
        query = select(*columns).where(*self._conditions).order_by(*self._order_by).limit(1)
        return CompiledStatement(query)

    @cached_property
    def _mapper(self) -> Mapper[T]:
        return class_mapper(self._model)

    @cached_property
    def _names(self) -> Sequence[str]:
        """The attributes of the columns."""
        columns = self._mapper.local_table.c
        return [self._mapper.get_property_by_column(column).key for column in columns]

    @cached_property
    def _key_names(self) -> Sequence[str]:
        columns = self._mapper.primary_key
        return [self._mapper.get_property_by_column(column).key for column in columns]

    def _load(self, session: Session, row: Row[Any]) -> T:
        values = dict(zip(self._names, row, strict=True))
        key = [values[name] for name in self._key_names]
        identity = self._mapper.identity_key_from_primary_key(tuple(key))
        known: T | None = session.identity_map.get(identity)
        if known is not None:
            for name, value in values.items():
                set_committed_value(known, name, value)
            self._on_load(session, known)
            return known
        instance = self._model()
        instance_state(instance).dict.update(values)
        make_transient_to_detached(instance)
        session.add(instance)
        self._on_load(session, instance)
        return instance
