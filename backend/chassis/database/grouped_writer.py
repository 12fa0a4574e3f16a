"""Items of several requests, written together in one transaction (group commit).

A transaction costs more than the rows in it: SQLite has one writer at a time and syncs the file at
each commit, and a statement for many rows needs little more time than one for a single row. The
requests that arrive while one transaction is written share the next one. None waits for others to
arrive, so a request without others is written at once.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from backend.chassis.database.errors import classify_error
from backend.chassis.database.sessions import Database, Session

_MAX_GROUP: Final = 32

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class _PendingItem(Generic[T]):
    tenant_id: str
    item: T
    turn: threading.Event = field(default_factory=threading.Event)
    is_written: bool = False
    error: BaseException | None = None


@dataclass(eq=False, slots=True)
class _Queue(Generic[T]):
    """The items that can share a transaction, and whether a thread writes."""

    waiting: deque[_PendingItem[T]] = field(default_factory=deque)
    is_writing: bool = False


class GroupedWriter(Generic[T]):
    """Writes items. Those of one tenant that wait at the same time share a transaction.

    SQLite has no row-level security, so there the items of all tenants do.

    Args:
        database: the tables.
        write_items: writes up to 32 items in a transaction, in the order in which they arrived.
            It is called again with each item alone if it raises an exception for several, except
            one that says that the database is busy, full or not available.
    """

    def __init__(
        self, database: Database, write_items: Callable[[Session, Sequence[T]], None]
    ) -> None:
        self._database = database
        self._write_items = write_items
        self._has_tenants = database.engine.dialect.name == "postgresql"
        self._lock = threading.Lock()
        # By tenant. A queue without items is removed.
        self._queues: dict[str, _Queue[T]] = {}

    def write(self, tenant_id: str, item: T) -> None:
        """Write *item* in a transaction. It is committed when this returns.

        Raises:
            Whatever the writing of this item, or the commit, raises.
        """
        mine = _PendingItem(tenant_id, item)
        name = tenant_id if self._has_tenants else ""
        with self._lock:
            queue = self._queues.setdefault(name, _Queue())
            queue.waiting.append(mine)
            is_first = not queue.is_writing
            queue.is_writing = True
        if not is_first:
            mine.turn.wait()
        if not mine.is_written and mine.error is None:
            self._write_group(name, queue)
        if mine.error is not None:
            raise mine.error

    def count_waiting(self) -> int:
        """Return the number of items that wait for the next transaction."""
        with self._lock:
            return sum(len(queue.waiting) for queue in self._queues.values())

    def _write_group(self, name: str, queue: _Queue[T]) -> None:
        """Write the waiting items, then wake the thread that writes the next group."""
        with self._lock:
            size = min(_MAX_GROUP, len(queue.waiting))
            group = [queue.waiting.popleft() for _ in range(size)]
        try:
            self._write(group)
        except BaseException as error:
            # The process ends. Writes that were not committed must raise an error.
            for pending in group:
                if not pending.is_written:
                    pending.error = error
            raise
        finally:
            with self._lock:
                if group[0].error is not None and classify_error(group[0].error) == "unavailable":
                    # Those that wait would find it out one group after the other.
                    group += self._reject_waiting(queue, group[0].error)
                following = queue.waiting[0] if queue.waiting else None
                queue.is_writing = following is not None
                if following is None:
                    del self._queues[name]
            for pending in group:
                pending.turn.set()
            if following is not None:
                following.turn.set()

    def _reject_waiting(self, queue: _Queue[T], error: BaseException) -> list[_PendingItem[T]]:
        rejected = list(queue.waiting)
        queue.waiting.clear()
        for pending in rejected:
            pending.error = error
        return rejected

    def _write(self, group: list[_PendingItem[T]]) -> None:
        if len(group) > 1 and self._write_together(group):
            return
        for pending in group:
            try:
                with self._database.write(pending.tenant_id) as session:
                    self._write_items(session, [pending.item])
                pending.is_written = True
            except BaseException as error:  # noqa: BLE001 - raised in the thread of this item
                pending.error = error

    def _write_together(self, group: list[_PendingItem[T]]) -> bool:
        """Write *group* in one transaction. Returns False if each item must be written alone."""
        tenants = {pending.tenant_id for pending in group}
        try:
            with self._database.write(tenants.pop() if len(tenants) == 1 else None) as session:
                self._write_items(session, [pending.item for pending in group])
        except Exception as error:  # noqa: BLE001 - items are tried alone, or raise it
            if classify_error(error) is None:
                return False
            # The database is busy, full or not available, whatever is written.
            for pending in group:
                pending.error = error
            return True
        for pending in group:
            pending.is_written = True
        return True
