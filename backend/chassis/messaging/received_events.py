"""Tables of a service that consumes events: which were applied, and which could not be.

The migration of the service creates them with `create_tables`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from backend.chassis.database.sessions import Database, Session
from backend.chassis.database.types import UtcDateTime

# Brokers keep events that no consumer has acknowledged for at most a week.
_SEEN_RETENTION = timedelta(days=30)
_MAX_ERROR_CHARACTERS = 1000
_DELETION_BATCH_SIZE = 1000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that a consumer could not apply.

    Attributes:
        id: id of the event; for a message that is no event, a digest of its content.
        content: the message as it was received.
        error: why it could not be applied.
    """

    consumer: str
    id: str
    type: str
    content: str
    error: str
    failed_at: datetime


def create_tables(connection: sa.Connection, service: str) -> None:
    """Create the tables of received events. Call in a migration of *service*."""
    metadata = sa.MetaData()
    _seen_table(service, metadata)
    _dead_letter_table(service, metadata)
    metadata.create_all(connection)


def has_tables(database: Database, service: str) -> bool:
    """Return whether *service* consumes events."""
    with database.read() as session:
        return sa.inspect(session.connection()).has_table(f"{service}_dead_letters")


class ReceivedEvents:
    """The events that the consumers of a service have received.

    Args:
        service: name of the service, which is in the names of the tables.
        database: database of the service.
    """

    def __init__(self, service: str, database: Database) -> None:
        self._database = database.across_tenants()
        self._seen = _seen_table(service, sa.MetaData())
        self._dead_letters = _dead_letter_table(service, sa.MetaData())

    def add_seen(self, session: Session, consumer: str, event_id: str, now: datetime) -> bool:
        """Record in the transaction of *session* that the event is applied.

        Returns:
            False if it was applied before.
        """
        insert = sa.insert(self._seen).values(consumer=consumer, id=event_id, seen_at=now)
        try:
            with session.begin_nested():
                session.execute(insert)
        except IntegrityError:
            return False
        return True

    def add_all_seen(
        self, session: Session, consumer: str, event_ids: Sequence[str], now: datetime
    ) -> set[str]:
        """Record as `add_seen` that all the events are applied. Returns ids not applied before.

        Raises:
            IntegrityError: another process has recorded one of them at the same time.
        """
        ids = set(event_ids)
        table = self._seen
        known = sa.select(table.c.id).where(table.c.consumer == consumer, table.c.id.in_(ids))
        new = ids.difference(session.scalars(known))
        if new:
            rows = [{"consumer": consumer, "id": each, "seen_at": now} for each in sorted(new)]
            session.execute(sa.insert(table), rows)
        return new

    def add_dead_letter(self, letter: DeadLetter) -> None:
        """Store an event that could not be applied. It counts as seen."""
        with self._database.write() as session:
            if not self.add_seen(session, letter.consumer, letter.id, letter.failed_at):
                return
            session.execute(
                sa.insert(self._dead_letters).values(
                    consumer=letter.consumer,
                    id=letter.id,
                    type=letter.type[:64],
                    # PostgreSQL cannot store NUL. The message would be received for ever.
                    content=letter.content.replace("\0", "\ufffd"),
                    error=letter.error[:_MAX_ERROR_CHARACTERS],
                    failed_at=letter.failed_at,
                    is_replayed=False,
                )
            )

    def list_dead_letters(self, limit: int) -> Sequence[DeadLetter]:
        """Return up to *limit* dead letters of all consumers, oldest first."""
        return self._list_letters(sa.true(), limit)

    def request_replay(self, consumer: str, event_id: str | None) -> int:
        """Let *consumer* apply its dead letters again, or one of them.

        Returns:
            How many dead letters there are.
        """
        table = self._dead_letters
        update = sa.update(table).where(table.c.consumer == consumer).values(is_replayed=True)
        if event_id is not None:
            update = update.where(table.c.id == event_id)
        with self._database.write() as session:
            return len(session.execute(update.returning(table.c.id)).all())

    def list_replayed_letters(self, consumer: str, limit: int) -> Sequence[DeadLetter]:
        """Return dead letters that *consumer* should apply again, oldest first."""
        table = self._dead_letters
        return self._list_letters(
            (table.c.consumer == consumer) & table.c.is_replayed.is_(True), limit
        )

    def delete_dead_letter(self, session: Session, consumer: str, event_id: str) -> bool:
        """Delete a dead letter in the transaction that applies it. Returns False if it is gone."""
        table = self._dead_letters
        delete = sa.delete(table).where(table.c.consumer == consumer, table.c.id == event_id)
        return session.execute(delete.returning(table.c.id)).first() is not None

    def keep_dead_letter(self, letter: DeadLetter, error: str, now: datetime) -> None:
        """Store that the event failed again."""
        table = self._dead_letters
        with self._database.write() as session:
            session.execute(
                sa.update(table)
                .where(table.c.consumer == letter.consumer, table.c.id == letter.id)
                .values(error=error[:_MAX_ERROR_CHARACTERS], failed_at=now, is_replayed=False)
            )

    def count_dead_letters(self) -> dict[str, int]:
        """Return the numbers of dead letters by consumer."""
        consumer = self._dead_letters.c.consumer
        with self._database.read() as session:
            query = sa.select(consumer, sa.func.count()).group_by(consumer)
            return {row[0]: row[1] for row in session.execute(query)}

    def delete_old_ids(self, now: datetime) -> None:
        """Delete the ids of events that no broker delivers any more."""
        table = self._seen
        batch = (
            sa.select(table.c.seq)
            .where(table.c.seen_at < now - _SEEN_RETENTION)
            .limit(_DELETION_BATCH_SIZE)
        )
        delete = sa.delete(table).where(table.c.seq.in_(batch)).returning(table.c.seq)
        while True:
            with self._database.write() as session:
                if len(session.scalars(delete).all()) < _DELETION_BATCH_SIZE:
                    return

    def _list_letters(self, where: "sa.ColumnElement[bool]", limit: int) -> Sequence[DeadLetter]:
        table = self._dead_letters
        query = sa.select(table).where(where).order_by(table.c.failed_at, table.c.id).limit(limit)
        with self._database.read() as session:
            return [_to_dead_letter(row) for row in session.execute(query)]


def _to_dead_letter(row: "sa.Row[Any]") -> DeadLetter:
    return DeadLetter(row.consumer, row.id, row.type, row.content, row.error, row.failed_at)


def _seen_table(service: str, metadata: sa.MetaData) -> sa.Table:
    name = f"{service}_seen_events"
    return sa.Table(
        name,
        metadata,
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("consumer", sa.String(64), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("seen_at", UtcDateTime, nullable=False),
        sa.UniqueConstraint("consumer", "id", name=f"uq_{name}_id"),
        sa.Index(f"ix_{name}_seen_at", "seen_at"),
    )


def _dead_letter_table(service: str, metadata: sa.MetaData) -> sa.Table:
    return sa.Table(
        f"{service}_dead_letters",
        metadata,
        sa.Column("consumer", sa.String(64), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("error", sa.String(_MAX_ERROR_CHARACTERS), nullable=False),
        sa.Column("failed_at", UtcDateTime, nullable=False),
        sa.Column("is_replayed", sa.Boolean, nullable=False),
    )
