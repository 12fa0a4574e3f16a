"""Writes of several requests in one transaction.

SQLite has one writer at a time, and syncs the file at each commit. The requests that arrive while
one transaction is written share the next one, so that a burst needs few commits. PostgreSQL
writes them in parallel and needs no groups.
"""

from collections.abc import Callable, Sequence
from contextvars import copy_context

from backend.chassis.database.grouped_writer import GroupedWriter
from backend.chassis.database.sessions import Database, Session

Write = Callable[[Session], None]


class WriteGroups:
    """Runs writes. On SQLite, those that wait at the same time share a transaction.

    Args:
        database: the tables.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writer = GroupedWriter(database, _run_writes)
        self._is_grouped = database.engine.dialect.name == "sqlite"

    def write(self, tenant_id: str, write: Write) -> None:
        """Call *write* in a transaction. It is committed when this returns.

        *write* is called again, in a transaction of its own, if another one of its group fails.

        Raises:
            Whatever *write* or the commit raises.
        """
        if not self._is_grouped:
            with self._database.write(tenant_id) as session:
                write(session)
            return
        # In the context of the request, such as its trace. Another thread may run the write.
        context = copy_context()
        self._writer.write(tenant_id, lambda session: context.run(write, session))

    def count_waiting(self) -> int:
        """Return the number of writes that wait for the next transaction."""
        return self._writer.count_waiting()


def _run_writes(session: Session, writes: Sequence[Write]) -> None:
    for write in writes:
        write(session)
        session.flush()
        # The next write may change rows that this one has loaded.
        session.expire_all()
