"""Rows that are inserted or updated together right before the commit of their transaction."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy.orm import Session, SessionTransaction

from backend.chassis.database.statements import CompiledStatement

# Key in `Session.info`: the rows by statement, each with the savepoint in which it was added.
_PENDING: Final = "pending rows"
_Rows = dict[CompiledStatement, list[tuple[SessionTransaction | None, Mapping[str, Any]]]]


def collect_rows(session: Session) -> None:
    """Let `insert_before_commit` keep rows of *session* until `insert_pending_rows`."""
    session.info[_PENDING] = {}


def insert_before_commit(
    session: Session, statement: CompiledStatement, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Insert *rows* with those of other calls in the transaction, in the order of the calls.

    Queries of the same transaction do not see them. They are inserted at once in a session that
    `Database.write` has not opened.

    Args:
        statement: an insert. Rows of the same object are inserted together.
    """
    pending: _Rows | None = session.info.get(_PENDING)
    if pending is None:
        statement.execute(session, rows)
        return
    savepoint = session.get_nested_transaction()
    pending.setdefault(statement, []).extend((savepoint, row) for row in rows)


def update_before_commit(
    session: Session, statement: CompiledStatement, row: Mapping[str, Any]
) -> None:
    """Update *row* together with those of other calls with the same *statement*.

    Like `insert_before_commit`. A row may be updated once: before its second change, call
    `insert_pending_rows`.
    """
    insert_before_commit(session, statement, [row])


def insert_pending_rows(session: Session) -> None:
    """Insert and update the rows of the transaction, so that its queries see them.

    Not within a savepoint: it would contain rows that were added before it.
    """
    pending: _Rows = session.info.get(_PENDING, {})
    for statement, rows in pending.items():
        statement.execute(session, [row for _, row in rows])
    pending.clear()


def discard_pending_rows(session: Session, rolled_back: SessionTransaction) -> None:
    """Remove the rows that were added in the transaction or savepoint *rolled_back*."""
    pending: _Rows = session.info.get(_PENDING, {})
    if not rolled_back.nested:
        pending.clear()
        return
    for statement, rows in list(pending.items()):
        kept = [(savepoint, row) for savepoint, row in rows if not _is_in(savepoint, rolled_back)]
        if kept:
            pending[statement] = kept
        else:
            del pending[statement]


def _is_in(savepoint: SessionTransaction | None, ancestor: SessionTransaction) -> bool:
    while savepoint is not None and savepoint is not ancestor:
        savepoint = savepoint.parent
    return savepoint is not None
