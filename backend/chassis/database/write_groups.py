"""Writes of several requests in one transaction.

SQLite has one writer at a time, and syncs the file at each commit. The requests that arrive while
one transaction is written share the next one, so that a burst needs few commits. PostgreSQL
writes them in parallel and needs no groups.
"""

from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field

from backend.chassis.database.grouped_writer import GroupedWriter
from backend.chassis.database.sessions import Database, Session

Write = Callable[[Session], None]
# Reads what writes about these subjects need.
Prepare = Callable[[Session, Sequence[str]], None]


@dataclass(frozen=True, slots=True)
class _PendingWrite:
    write: Write
    subject: str | None
    # Of the request, such as its trace. Another thread may run the write.
    context: Context = field(default_factory=copy_context)


class WriteGroups:
    """Runs writes. On SQLite, those that wait at the same time share a transaction.

    Args:
        database: the tables.
        prepare: called before the writes of a group with their subjects, to read the rows of all of
            them with few queries. It is not called for a write that has a transaction of its own.
    """

    def __init__(self, database: Database, prepare: Prepare | None = None) -> None:
        self._database = database
        self._prepare = prepare
        self._writer = GroupedWriter(database, self._run_writes)
        self._is_grouped = database.engine.dialect.name == "sqlite"

    def write(self, tenant_id: str, write: Write, subject: str | None = None) -> None:
        """Call *write* in a transaction. It is committed when this returns.

        *write* is called again, in a transaction of its own, if another one of its group fails.

        Args:
            subject: id of the object that *write* changes, for the preparation of groups.

        Raises:
            Whatever *write* or the commit raises.
        """
        if not self._is_grouped:
            with self._database.write(tenant_id) as session:
                write(session)
            return
        self._writer.write(tenant_id, _PendingWrite(write, subject))

    def count_waiting(self) -> int:
        """Return the number of writes that wait for the next transaction."""
        return self._writer.count_waiting()

    def _run_writes(self, session: Session, writes: Sequence[_PendingWrite]) -> None:
        if len(writes) == 1:
            writes[0].context.run(writes[0].write, session)
            return
        subjects = {each.subject for each in writes if each.subject is not None}
        if self._prepare is not None and subjects:
            self._prepare(session, sorted(subjects))
        for each in writes:
            each.context.run(each.write, session)
            session.flush()
            # The next write may change rows that this one has loaded.
            session.expire_all()
