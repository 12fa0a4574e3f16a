"""Statements that run for each request, compiled once."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
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
    Select,
    Update,
    and_,
    bindparam,
    or_,
    select,
)
from sqlalchemy.orm import (
    InstrumentedAttribute,
    Mapper,
    Session,
    class_mapper,
)
from sqlalchemy.orm.attributes import instance_state, set_committed_value

T = TypeVar("T")
_Column = ColumnElement[Any] | InstrumentedAttribute[Any]
# Key in `Session.info`: the connection of the session's only transaction.
_CONNECTION: Final = "connection"
# Statements with lists of values are compiled for these numbers of values.
_LIST_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def keep_connection(session: Session) -> None:
    """Keep the connection of *session*, which has one transaction, for compiled statements.

    The session looks it up again for each statement, which takes as long as a short statement.
    """
    session.info[_CONNECTION] = session.connection()


def _get_connection(session: Session) -> Connection:
    connection: Connection | None = session.info.get(_CONNECTION)
    # The session raises an error if its transaction was rolled back.
    return session.connection() if connection is None or not session.is_active else connection


def split_list(values: Collection[T]) -> Iterator[list[T]]:
    """Yield *values* in lists of few different lengths, in which the last value is repeated.

    A statement with a list of values is compiled for each length. Repeated values change no result
    of `IN` and `OR`.
    """
    remaining = list(values)
    while remaining:
        size = next((size for size in _LIST_SIZES if size >= len(remaining)), _LIST_SIZES[-1])
        part, remaining = remaining[:size], remaining[size:]
        yield part + part[-1:] * (size - len(part))


def is_one_of_pairs(first: _Column, second: _Column, count: int) -> ColumnElement[bool]:
    """Return the condition that two columns have one of the *count* pairs of `bind_pairs`."""
    return or_(
        *(
            and_(first == bindparam(f"first_{index}"), second == bindparam(f"second_{index}"))
            for index in range(count)
        )
    )


def bind_pairs(pairs: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    """Return the parameters of `is_one_of_pairs`."""
    parameters: dict[str, Any] = {}
    for index, (first, second) in enumerate(pairs):
        parameters |= {f"first_{index}": first, f"second_{index}": second}
    return parameters


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
        beside: columns of other tables, which *conditions* join, that `list_rows` returns too.
        on_load: called with the instance when its columns are set, as for the event `load`.
    """

    def __init__(
        self,
        model: type[T],
        *conditions: ColumnElement[bool],
        order_by: Sequence[ColumnElement[Any] | InstrumentedAttribute[Any]] = (),
        beside: Sequence[InstrumentedAttribute[Any]] = (),
        on_load: Callable[[Session, T], None] = lambda _session, _instance: None,
    ) -> None:
        self._model = model
        self._conditions = conditions
        self._order_by = order_by
        self._beside = beside
        self._on_load = on_load

    def find_first(self, session: Session, parameters: Mapping[str, Any]) -> T | None:
        """Flush the session and return the first instance, or None.

        An instance that the session has already gets the columns of the row.
        """
        row = self._first_row.execute(session, parameters).first()
        return None if row is None else self._load(session, row)

    def list_rows(
        self, session: Session, parameters: Mapping[str, Any]
    ) -> list[tuple[T, Sequence[Any]]]:
        """Flush the session and return all instances, each with its columns of other tables."""
        width = len(self._names)
        rows = self._all_rows.execute(session, parameters).all()
        return [(self._load(session, row[:width]), row[width:]) for row in rows]

    # Built at the first use, when all classes are mapped.
    @cached_property
    def _first_row(self) -> CompiledStatement:
        return CompiledStatement(self._build().limit(1))

    @cached_property
    def _all_rows(self) -> CompiledStatement:
        return CompiledStatement(self._build())

    def _build(self) -> Select[Any]:
        columns = (*self._mapper.local_table.c, *self._beside)
        return select(*columns).where(*self._conditions).order_by(*self._order_by)

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

    def _load(self, session: Session, row: Sequence[Any]) -> T:
        values = dict(zip(self._names, row, strict=False))  # `find_first` reads more columns
        key = [values[name] for name in self._key_names]
        identity = self._mapper.identity_key_from_primary_key(tuple(key))
        known: T | None = session.identity_map.get(identity)
        if known is not None:
            for name, value in values.items():
                set_committed_value(known, name, value)
            self._on_load(session, known)
            return known
        instance = add_stored_instance(session, self._mapper, values)
        self._on_load(session, instance)
        return instance


def add_stored_instance(session: Session, mapper: Mapper[T], values: Mapping[str, Any]) -> T:
    """Add an instance to *session* that is stored with *values*, and return it.

    It does what SQLAlchemy's loader does with a row. `Session.add` takes ten times as long.

    Args:
        values: the value of each column by the name of its attribute, with the primary key.
    """
    instance = mapper.class_manager.new_instance()
    state = instance_state(instance)
    state.dict.update(values)
    key = [values[mapper.get_property_by_column(column).key] for column in mapper.primary_key]
    state.key = mapper.identity_key_from_primary_key(tuple(key))
    state.session_id = session.hash_key
    session.identity_map.add(state)
    return instance
