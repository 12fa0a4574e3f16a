"""Statements that run for each request, compiled once."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Compiled, CursorResult, Delete, Dialect, Insert, Select, Update
from sqlalchemy.orm import Session


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
        connection = session.connection()
        compiled = self._compiled.get(connection.dialect)
        if compiled is None:
            compiled = self._compile(connection.dialect)
        return connection.execute(compiled, parameters)  # type: ignore[call-overload,no-any-return] # compiled

    def _compile(self, dialect: Dialect) -> Compiled:
        compiled = self._statement.compile(dialect=dialect, column_keys=self._names)
        self._compiled[dialect] = compiled
        return compiled
