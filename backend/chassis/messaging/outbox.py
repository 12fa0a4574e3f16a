"""Transactional outbox: events that are stored with a change and delivered after its commit.

The table belongs to the service, so an event exists if and only if its change was committed. A
relay (relay.py) delivers each event at least once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from backend.chassis.database.sessions import Database, Session
from backend.chassis.database.types import UtcDateTime
from backend.chassis.messaging.events import OutboxEvent

# Published events are kept, so that they can be published again after a consumer lost them.
RETENTION = timedelta(days=7)
_MAX_ERROR_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class OutboxState:
    """Numbers of pending and of rejected events, and the time of the oldest pending one."""

    pending: int
    rejected: int
    oldest_pending_at: datetime | None


def outbox_table(service: str, metadata: sa.MetaData | None = None) -> sa.Table:
    """Return the table of *service*'s events. The service's migrations create it."""
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
        # Why the consumer rejected the event. A rejected event is not delivered again.
        sa.Column("error", sa.String(_MAX_ERROR_CHARACTERS)),
        sa.Index(f"ix_{name}_pending", "published_at", "seq"),
    )


def lease_table(service: str, metadata: sa.MetaData | None = None) -> sa.Table:
    """Return the table of *service*'s leases. The service's migrations create it."""
    return sa.Table(
        f"{service}_leases",
        metadata if metadata is not None else sa.MetaData(),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
    )


class Outbox:
    """The outbox of one service.

    Args:
        service: name of the service, which is in the names of the tables.
        database: database of the service.
    """

    def __init__(self, service: str, database: Database) -> None:
        self._table = outbox_table(service)
        self._leases = lease_table(service)
        self._database = database.across_tenants()

    def add_event(self, session: Session, event: OutboxEvent) -> None:
        """Add *event* in the transaction of *session*, which commits the change it reports."""
        session.execute(
            sa.insert(self._table).values(
                id=event.id,
                type=event.type,
                subject=event.subject,
                key=event.key,
                tenant_id=event.tenant_id,
                time=event.time,
                data=dict(event.data),
            )
        )

    def has_pending_events(self) -> bool:
        with self._database.read() as session:
            return session.scalar(self._select_pending(1).with_only_columns(sa.true())) is not None

    def list_pending_events(self, limit: int) -> Sequence[OutboxEvent]:
        """Return up to *limit* events that were not delivered, oldest first."""
        with self._database.read() as session:
            return [
                OutboxEvent(
                    id=row.id,
                    type=row.type,
                    subject=row.subject,
                    key=row.key,
                    tenant_id=row.tenant_id,
                    time=row.time,
                    data=row.data,
                )
                for row in session.execute(self._select_pending(limit))
            ]

    def mark_published(self, event_ids: Iterable[str], now: datetime) -> None:
        with self._database.write() as session:
            session.execute(
                sa.update(self._table)
                .where(self._table.c.id.in_(list(event_ids)))
                .values(published_at=now)
            )

    def mark_rejected(self, event_id: str, reason: str) -> None:
        """Exclude the event from delivery because the consumer will never accept it."""
        with self._database.write() as session:
            session.execute(
                sa.update(self._table)
                .where(self._table.c.id == event_id)
                .values(error=reason[:_MAX_ERROR_CHARACTERS])
            )

    def delete_published_events(self, now: datetime) -> None:
        """Delete published and rejected events that are older than the retention time."""
        table, limit = self._table, now - RETENTION
        is_rejected = table.c.error.is_not(None) & (table.c.time < limit)
        with self._database.write() as session:
            session.execute(sa.delete(table).where((table.c.published_at < limit) | is_rejected))

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

    def get_state(self) -> OutboxState:
        table = self._table
        is_unpublished = table.c.published_at.is_(None)
        query = sa.select(
            sa.func.count().filter(table.c.error.is_(None)),
            sa.func.count().filter(table.c.error.is_not(None)),
            sa.func.min(table.c.time).filter(table.c.error.is_(None)),
        ).where(is_unpublished)
        with self._database.read() as session:
            pending, rejected, oldest = session.execute(query).one()
        return OutboxState(pending, rejected, oldest)

    def _select_pending(self, limit: int) -> "sa.Select[Any]":
        table = self._table
        is_pending = table.c.published_at.is_(None) & table.c.error.is_(None)
        return sa.select(table).where(is_pending).order_by(table.c.seq).limit(limit)
