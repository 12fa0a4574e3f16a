"""Notifications of users: stored in a table, and announced on the topic `user`."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.chassis.database.sessions import Database, Session, acquire_transaction_lock
from backend.services.realtime.domain.loop_calls import LoopCalls
from backend.services.realtime.domain.publications import format_event, publish
from backend.services.realtime.model import BrokerUnavailable
from backend.services.realtime.store import notifications as store
from backend.services.realtime.store.tables import Notification, NotificationRead

RETENTION = timedelta(days=7)
_log = logging.getLogger(__name__)
USER_TOPIC = "user"


@dataclass(frozen=True, slots=True)
class NewNotification:
    """A notification to store.

    Attributes:
        id: identifies what happened; the same id is stored once for each user.
        kind: what happened, such as `document-ready`.
        title: one line for the user.
        link: path in the console, or "".
    """

    id: str
    tenant_id: str
    user_id: str
    kind: str
    title: str
    link: str
    time: datetime


@dataclass(frozen=True, slots=True)
class NotificationEntry:
    """A stored notification."""

    offset: int
    id: str
    kind: str
    title: str
    link: str
    time: datetime


@dataclass(frozen=True, slots=True)
class ReadState:
    """The user's read position and the number of notifications after it."""

    read_offset: int
    unread: int


class NotificationService:
    """Stores notifications for RETENTION and moves the users' read positions."""

    def __init__(self, database: Database, calls: LoopCalls, now: Callable[[], datetime]) -> None:
        self._database = database
        self._calls = calls
        self._now = now

    def add_notification(self, session: Session, new: NewNotification) -> bool:
        """Store *new* in the transaction of *session*, and announce it.

        Returns False if it is already stored. An announcement that fails is not repeated: the
        client finds the notification in the list.
        """
        acquire_transaction_lock(session, f"notification {new.user_id} {new.id}")
        if store.find_notification(session, new.tenant_id, new.user_id, new.id) is not None:
            return False
        row = Notification(
            id=new.id,
            tenant_id=new.tenant_id,
            user_id=new.user_id,
            kind=new.kind,
            title=new.title[:200],
            link=new.link[:500],
            time=new.time,
        )
        session.add(row)
        session.flush()
        try:
            self._announce(new, _to_entry(row))
        except BrokerUnavailable:
            _log.warning("a notification is stored but could not be announced")
        return True

    def list_notifications(
        self, tenant_id: str, user_id: str, limit: int, before: int | None
    ) -> tuple[Sequence[NotificationEntry], ReadState]:
        """Return the user's notifications, latest first, and what is unread."""
        since = self._now() - RETENTION
        with self._database.read(tenant_id) as session:
            rows = store.list_notifications(session, tenant_id, user_id, since, limit, before)
            entries = [_to_entry(row) for row in rows]
            position = store.get_read_position(session, tenant_id, user_id)
            read_offset = position.offset if position else 0
            unread = store.count_unread(session, tenant_id, user_id, since, read_offset)
        return entries, ReadState(read_offset, unread)

    def mark_read(self, tenant_id: str, user_id: str, offset: int) -> ReadState:
        """Move the user's read position forward to *offset*, at most to the last notification."""
        since = self._now() - RETENTION
        with self._database.write(tenant_id) as session:
            acquire_transaction_lock(session, f"notifications read {user_id}")
            last = store.get_last_offset(session, tenant_id, user_id)
            position = store.get_read_position(session, tenant_id, user_id)
            if position is None:
                position = NotificationRead(tenant_id=tenant_id, user_id=user_id, offset=0)
                session.add(position)
            position.offset = max(position.offset, min(offset, last))
            unread = store.count_unread(session, tenant_id, user_id, since, position.offset)
            return ReadState(position.offset, unread)

    def delete_expired(self) -> None:
        """Delete the notifications of all tenants that are older than RETENTION."""
        with self._database.across_tenants().write() as session:
            store.delete_before(session, self._now() - RETENTION)

    def _announce(self, new: NewNotification, entry: NotificationEntry) -> None:
        content = {
            "offset": entry.offset,
            "id": entry.id,
            "kind": entry.kind,
            "title": entry.title,
            "link": entry.link,
            "time": entry.time.isoformat().replace("+00:00", "Z"),
        }
        data = format_event("realtime.notification", content, entry.id)
        self._calls.run(
            lambda broker: publish(broker, new.tenant_id, USER_TOPIC, data, user_id=new.user_id)
        )


def _to_entry(row: Notification) -> NotificationEntry:
    return NotificationEntry(row.offset, row.id, row.kind, row.title, row.link, row.time)
