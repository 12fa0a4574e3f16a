"""Transactional outbox: events that are stored with a change and delivered after its commit.

The table belongs to the service, so an event exists if and only if its change was committed. It
contains the events of two channels: audit events, which are sent to auth, and domain events, which
are published to the broker. A relay for each channel (relay.py) delivers its events at least once.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, cached_property
from typing import Any, Literal
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from backend.chassis.database.pending_rows import insert_before_commit
from backend.chassis.database.sessions import Database, Session, notify_after_commit
from backend.chassis.database.statements import CompiledStatement
from backend.chassis.database.types import UtcDateTime
from backend.chassis.messaging.event_types import EventData
from backend.chassis.messaging.events import OutboxEvent
from backend.chassis.observability.tracing import current_span_context, format_trace_ids

Channel = Literal["audit", "events"]
CHANNELS: tuple[Channel, ...] = ("audit", "events")

# Published events are kept, so that they can be published again after a consumer lost them.
RETENTION = timedelta(days=7)
_MAX_ERROR_CHARACTERS = 200
_DELETION_BATCH_SIZE = 1000
_INSERTED = ("id", "type", "subject", "key", "tenant_id", "time", "data", "channel", "traceparent")
# The columns that a relay reads, in the order of the fields of OutboxEvent.
_DELIVERED = ("id", "type", "subject", "key", "tenant_id", "time", "data", "traceparent")


@dataclass(frozen=True, slots=True)
class OutboxState:
    """Numbers of pending and rejected events of a channel, and the time of the oldest pending."""

    pending: int
    rejected: int
    oldest_pending_at: datetime | None


@cache
def outbox_table(service: str, metadata: sa.MetaData | None = None) -> sa.Table:
    """Return the table of *service*'s events. The service's migrations create it.

    Equal arguments return the same object, so that its statements are compiled once.
    """
    name = f"{service}_outbox"
    return sa.Table(
        name,
        metadata if metadata is not None else sa.MetaData(),
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("id", sa.String(36), nullable=False, unique=True),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(128), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("time", UtcDateTime, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("published_at", UtcDateTime),
        sa.Column("channel", sa.String(16), nullable=False, server_default="audit"),
        sa.Column("traceparent", sa.String(55)),
        # Why the consumer rejected the event. A rejected event is not delivered again.
        sa.Column("error", sa.String(_MAX_ERROR_CHARACTERS)),
        sa.Index(f"ix_{name}_pending", "channel", "published_at", "seq"),
    )


@cache
def lease_table(service: str, metadata: sa.MetaData | None = None) -> sa.Table:
    """Return the table of *service*'s leases. The service's migrations create it."""
    return sa.Table(
        f"{service}_leases",
        metadata if metadata is not None else sa.MetaData(),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
    )


def has_outbox(database: Database, service: str) -> bool:
    """Return whether *service* publishes events. Some services with tables do not."""
    with database.read() as session:
        return sa.inspect(session.connection()).has_table(f"{service}_outbox")


class EventRecorder:
    """Adds events to the outbox of a service, in the transaction of the change that they report.

    Events with the same key are delivered in the order in which they were added. So that
    concurrent transactions add them in the order of their changes, change the row of the object
    first.

    Args:
        service: name of the service, which is in the name of the table.
    """

    def __init__(self, service: str) -> None:
        self._service = service

    # Built at the first use: a service declares its recorder as a constant.
    @cached_property
    def _insert(self) -> CompiledStatement:
        return CompiledStatement(sa.insert(outbox_table(self._service)).inline(), _INSERTED)

    def record_event(
        self,
        session: Session,
        data: EventData,
        *,
        subject: str,
        key: str,
        tenant_id: str,
        time: datetime,
    ) -> None:
        """Add a domain event.

        Args:
            subject: id of the object that the event is about.
            key: events with the same key are delivered in order.
            tenant_id: tenant of the object, "" without one.
        """
        self.record_events(
            session, [data], subject=subject, key=key, tenant_id=tenant_id, time=time
        )

    def record_events(
        self,
        session: Session,
        events: Iterable[EventData],
        *,
        subject: str,
        key: str,
        tenant_id: str,
        time: datetime,
    ) -> None:
        """Add domain events about one object in this order, see `record_event`."""
        traceparent = _get_traceparent()
        self._add_events(
            session,
            [
                OutboxEvent(
                    id=str(uuid4()),
                    type=data.event_type,
                    subject=subject,
                    key=key,
                    tenant_id=tenant_id,
                    time=time,
                    data=data.model_dump(mode="json"),
                    traceparent=traceparent,
                )
                for data in events
            ],
            "events",
        )

    def add_event(self, session: Session, event: OutboxEvent, channel: Channel) -> None:
        """Add *event*, and wake the relay of the channel after the commit."""
        self._add_events(session, [event], channel)

    def _add_events(
        self, session: Session, events: Sequence[OutboxEvent], channel: Channel
    ) -> None:
        if not events:
            return
        values = [
            {
                "id": event.id,
                "type": event.type,
                "subject": event.subject,
                "key": event.key,
                "tenant_id": event.tenant_id,
                "time": event.time,
                "data": event.data,
                "channel": channel,
                "traceparent": event.traceparent,
            }
            for event in events
        ]
        insert_before_commit(session, self._insert, values)
        notify_after_commit(session, _get_topic(channel))


class Outbox:
    """The events of one channel in the outbox of a service, for their delivery.

    Args:
        service: name of the service, which is in the names of the tables.
        database: database of the service.
    """

    def __init__(self, service: str, database: Database, channel: Channel) -> None:
        self.channel = channel
        self._table = outbox_table(service)
        self._leases = lease_table(service)
        self._database = database.across_tenants()

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Call *listener* after each commit in this process that adds events of the channel."""
        self._database.add_commit_listener(_get_topic(self.channel), listener)

    def has_pending_events(self) -> bool:
        with self._database.read() as session:
            query = self._select_pending.with_only_columns(sa.true())
            return session.scalar(query, {"limit": 1}) is not None

    def list_pending_events(self, limit: int) -> Sequence[OutboxEvent]:
        """Return up to *limit* events that were not delivered, oldest first."""
        with self._database.read() as session:
            rows = session.execute(self._select_pending, {"limit": limit})
            return [OutboxEvent(*row) for row in rows]

    def mark_published(self, event_ids: Iterable[str], now: datetime) -> None:
        with self._database.write() as session:
            session.execute(self._mark_published, {"ids": list(event_ids), "now": now})

    def mark_rejected(self, event_id: str, reason: str) -> None:
        """Exclude the event from delivery because the consumer will never accept it."""
        with self._database.write() as session:
            session.execute(
                sa.update(self._table)
                .where(self._table.c.id == event_id)
                .values(error=reason[:_MAX_ERROR_CHARACTERS])
            )

    def list_rejected_events(self, limit: int) -> Sequence[tuple[OutboxEvent, str]]:
        """Return up to *limit* rejected events with the reasons, oldest first."""
        table = self._table
        query = (
            sa.select(table)
            .where(
                self._is_in_channel(), table.c.published_at.is_(None), table.c.error.is_not(None)
            )
            .order_by(table.c.seq)
            .limit(limit)
        )
        with self._database.read() as session:
            return [(_to_event(row), row.error) for row in session.execute(query)]

    def retry_rejected_events(self, event_id: str | None) -> int:
        """Let the relay deliver all rejected events again, or one of them. Returns their number."""
        table = self._table
        update = (
            sa.update(table)
            .where(
                self._is_in_channel(), table.c.published_at.is_(None), table.c.error.is_not(None)
            )
            .values(error=None)
        )
        if event_id is not None:
            update = update.where(table.c.id == event_id)
        with self._database.write() as session:
            return len(session.execute(update.returning(table.c.id)).all())

    def delete_published_events(self, now: datetime) -> None:
        """Delete published and rejected events that are older than the retention time."""
        table, limit = self._table, now - RETENTION
        is_rejected = (
            table.c.published_at.is_(None) & table.c.error.is_not(None) & (table.c.time < limit)
        )
        for is_old in (table.c.published_at < limit, is_rejected):
            # In batches, so that other writers do not wait long.
            batch = (
                sa.select(table.c.seq)
                .where(self._is_in_channel(), is_old)
                .limit(_DELETION_BATCH_SIZE)
            )
            while True:
                with self._database.write() as session:
                    deleted = session.scalars(
                        sa.delete(table).where(table.c.seq.in_(batch)).returning(table.c.seq)
                    )
                    if len(deleted.all()) < _DELETION_BATCH_SIZE:
                        break

    def acquire_lease(self, name: str, holder: str, now: datetime, lifetime: timedelta) -> bool:
        """Acquire or extend the lease *name*. Returns False while another holder has it."""
        leases = self._leases
        values = {"holder": holder, "expires_at": now + lifetime}
        is_free = (
            (leases.c.holder == holder)
            | (leases.c.expires_at <= now)
            # The lease was stored before the clock was set back (ADR 38).
            | (leases.c.expires_at > now + lifetime)
        )
        with self._database.write() as session:
            update = sa.update(leases).where(leases.c.name == name, is_free).values(values)
            if session.execute(update.returning(leases.c.name)).first() is not None:
                return True
            try:
                with session.begin_nested():
                    session.execute(sa.insert(leases).values(name=name, **values))
            except IntegrityError:
                return False
            return True

    def release_lease(self, name: str, holder: str) -> None:
        """Release the lease *name* if *holder* has it."""
        leases = self._leases
        with self._database.write() as session:
            session.execute(
                sa.delete(leases).where(leases.c.name == name, leases.c.holder == holder)
            )

    def get_state(self) -> OutboxState:
        table = self._table
        is_unpublished = self._is_in_channel() & table.c.published_at.is_(None)
        query = sa.select(
            sa.func.count().filter(table.c.error.is_(None)),
            sa.func.count().filter(table.c.error.is_not(None)),
            sa.func.min(table.c.time).filter(table.c.error.is_(None)),
        ).where(is_unpublished)
        with self._database.read() as session:
            pending, rejected, oldest = session.execute(query).one()
        return OutboxState(pending, rejected, oldest)

    # Built once: the relay runs them many times a second.
    @cached_property
    def _select_pending(self) -> "sa.Select[Any]":
        table = self._table
        is_pending = table.c.published_at.is_(None) & table.c.error.is_(None)
        where = self._is_in_channel() & is_pending
        columns = (table.c[name] for name in _DELIVERED)
        query = sa.select(*columns).where(where).order_by(table.c.seq)
        return query.limit(sa.bindparam("limit", type_=sa.Integer))

    @cached_property
    def _mark_published(self) -> "sa.Update":
        ids = self._table.c.id.in_(sa.bindparam("ids", expanding=True))
        return sa.update(self._table).where(ids).values(published_at=sa.bindparam("now"))

    def _is_in_channel(self) -> "sa.ColumnElement[bool]":
        return self._table.c.channel == self.channel


def _to_event(row: "sa.Row[Any]") -> OutboxEvent:
    return OutboxEvent(
        id=row.id,
        type=row.type,
        subject=row.subject,
        key=row.key,
        tenant_id=row.tenant_id,
        time=row.time,
        data=row.data,
        traceparent=row.traceparent,
    )


def _get_topic(channel: Channel) -> str:
    """Return the topic of `notify_after_commit` for events of the channel."""
    return f"outbox {channel}"


def _get_traceparent() -> str | None:
    context = current_span_context()
    if context is None:
        return None
    trace_id, span_id = format_trace_ids(context)
    return f"00-{trace_id}-{span_id}-{context.trace_flags:02x}"
