"""Writes of several requests in one transaction.

SQLite has one writer at a time, and syncs the file at each commit. The requests that arrive while
one transaction is written share the next one, so that a burst needs few commits. PostgreSQL
writes them in parallel and needs no groups.
"""

from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from backend.chassis.database.sessions import Database, Session

_MAX_GROUP: Final = 32

Write = Callable[[Session], None]
# Reads what writes about these subjects need.
Prepare = Callable[[Session, Sequence[str]], None]


@dataclass(eq=False, slots=True)
class _PendingWrite:
    tenant_id: str
    write: Write
    subject: str | None
    # Of the request, such as its trace. Another thread may run the write.
    context: Context = field(default_factory=copy_context)
    # Held until the write is done, or its thread writes the next group. Cheaper than an Event.
    turn: Lock = field(default_factory=Lock)
    is_written: bool = False
    error: BaseException | None = None


class WriteGroups:
    """Runs writes. Those that wait at the same time share a transaction.

    Args:
        database: the tables.
        prepare: called before the writes of a group with their subjects, to read the rows of all of
            them with few queries. It is not called for a write that has a transaction of its own.
    """

    def __init__(self, database: Database, prepare: Prepare | None = None) -> None:
        self._database = database
        self._prepare = prepare
        self._is_grouped = database.engine.dialect.name == "sqlite"
        self._lock = Lock()
        self._waiting: deque[_PendingWrite] = deque()
        self._is_writing = False

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
        mine = _PendingWrite(tenant_id, write, subject)
        mine.turn.acquire()
        with self._lock:
            self._waiting.append(mine)
            is_first = not self._is_writing
            self._is_writing = True
        if not is_first:
            mine.turn.acquire()
        if not mine.is_written and mine.error is None:
            self._write_group(mine)
        if mine.error is not None:
            raise mine.error

    def _write_group(self, mine: _PendingWrite) -> None:
        """Write the pending writes, *mine* included, then wake the thread of the next group."""
        with self._lock:
            group = [self._waiting.popleft() for _ in range(min(_MAX_GROUP, len(self._waiting)))]
        try:
            self._write(group)
        except BaseException as error:
            # The process ends. Writes that were not committed must raise an error.
            for waiting in group:
                if not waiting.is_written:
                    waiting.error = error
            raise
        finally:
            with self._lock:
                following = self._waiting[0] if self._waiting else None
                self._is_writing = following is not None
            for waiting in group:
                if waiting is not mine:
                    waiting.turn.release()
            if following is not None:
                following.turn.release()

    def _write(self, group: list[_PendingWrite]) -> None:
        if len(group) > 1 and self._try_together(group):
            return
        for waiting in group:
            try:
                with self._database.write(waiting.tenant_id) as session:
                    waiting.context.run(waiting.write, session)
                waiting.is_written = True
            except BaseException as error:  # noqa: BLE001 - raised in the thread of this write
                waiting.error = error

    def _try_together(self, group: list[_PendingWrite]) -> bool:
        """Write *group* in one transaction. Returns False if nothing was written."""
        try:
            # SQLite has no row-level security, so the transaction needs no tenant.
            with self._database.write() as session:
                self._prepare_group(session, group)
                for waiting in group:
                    waiting.context.run(waiting.write, session)
                    session.flush()
                    # The next write may change rows that this one has loaded.
                    session.expire_all()
        except Exception:  # noqa: BLE001 - each write is tried alone and reports its own error
            return False
        for waiting in group:
            waiting.is_written = True
        return True

    def _prepare_group(self, session: Session, group: list[_PendingWrite]) -> None:
        subjects = {waiting.subject for waiting in group if waiting.subject is not None}
        if self._prepare is not None and subjects:
            self._prepare(session, sorted(subjects))
