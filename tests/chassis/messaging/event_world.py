"""A service that publishes numbered events and one that stores them, with crashes at chosen steps.

As a program, `python -m tests.chassis.messaging.event_world relay|consumer FOLDER URL STEP COUNT`
runs one side until it is killed, which it does itself when it reaches STEP for the COUNT-th time.
"""

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import sleep
from typing import ClassVar

import sqlalchemy as sa

from backend.chassis.database.sessions import Database, open_database
from backend.chassis.messaging import received_events
from backend.chassis.messaging.brokers import EventBroker, open_broker
from backend.chassis.messaging.consumer import EventConsumer
from backend.chassis.messaging.event_types import EventData
from backend.chassis.messaging.outbox import EventRecorder, Outbox, lease_table, outbox_table
from backend.chassis.messaging.publishing import EventPublisher
from backend.chassis.messaging.relay import OutboxRelay, RelayTask

RELAY_STEPS = ("before publishing", "amid publishing", "after publishing", "after marking")
CONSUMER_STEPS = ("before applying", "before commit", "before acknowledging", "after acknowledging")
_EFFECTS = sa.Table(
    "effects",
    sa.MetaData(),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("key", sa.String(64)),
    sa.Column("number", sa.Integer),
)


class OrderPlaced(EventData):
    """An order was placed."""

    event_type: ClassVar[str] = "orders.placed"

    number: int


def open_side(folder: Path, service: str) -> Database:
    """Open the database of a side, and create its tables if they are missing."""
    database = open_database(f"sqlite:///{folder / service}.db", service)
    with database.as_owner() as connection:
        if service == "orders":
            metadata = sa.MetaData()
            outbox_table(service, metadata)
            lease_table(service, metadata)
            metadata.create_all(connection)
        elif not sa.inspect(connection).has_table("effects"):
            received_events.create_tables(connection, service)
            _EFFECTS.create(connection)
    return database


def place_orders(database: Database, numbers: Sequence[int], keys: int) -> None:
    """Place orders, several in one transaction."""
    recorder = EventRecorder("orders")
    with database.write() as session:
        for number in numbers:
            recorder.record_event(
                session,
                OrderPlaced(number=number),
                subject=str(number),
                key=f"key-{number % keys}",
                tenant_id="",
                time=datetime.now(UTC),
            )


def list_effects(database: Database) -> list[tuple[str, int]]:
    """Return keys and numbers of the applied events, in the order in which they were applied."""
    with database.read() as session:
        rows = session.execute(sa.select(_EFFECTS).order_by(_EFFECTS.c.seq))
        return [(row.key, row.number) for row in rows]


def check_effects(effects: Sequence[tuple[str, int]], count: int) -> None:
    """Fail unless each event was applied once, and those of each key in order."""
    assert Counter(number for _, number in effects) == Counter(range(count))
    for key in {key for key, _ in effects}:
        numbers = [number for other, number in effects if other == key]
        assert numbers == sorted(numbers), key


class Crashes:
    """Calls *crash* when a step is reached for the given time."""

    def __init__(self, crash: Callable[[], None], step: str = "", count: int = 0) -> None:
        self._crash = crash
        self._step = step
        self._remaining = count

    def reach(self, step: str) -> None:
        if step == self._step:
            self._remaining -= 1
            if self._remaining == 0:
                self._crash()


class CrashingPublisher:
    """Publisher whose process may crash."""

    def __init__(self, broker: EventBroker, crashes: Crashes) -> None:
        self._publisher = EventPublisher("orders", broker)
        self._crashes = crashes

    def publish_events(self, events):
        self._crashes.reach("before publishing")
        self._publisher.publish_events(events[: len(events) // 2 + 1])
        self._crashes.reach("amid publishing")
        if rest := events[len(events) // 2 + 1 :]:
            self._publisher.publish_events(rest)
        self._crashes.reach("after publishing")


class CrashingBroker:
    """Broker of a consumer whose process may crash."""

    def __init__(self, broker: EventBroker, crashes: Crashes) -> None:
        self._broker = broker
        self._crashes = crashes

    def subscribe(self, consumer, services):
        subscription = self._broker.subscribe(consumer, services)
        acknowledge = subscription.acknowledge_events

        def acknowledge_events():
            self._crashes.reach("before acknowledging")
            acknowledge()
            self._crashes.reach("after acknowledging")

        subscription.acknowledge_events = acknowledge_events
        return subscription


def create_relay(database: Database, broker: EventBroker, crashes: Crashes) -> OutboxRelay:
    return OutboxRelay(Outbox("orders", database, "events"), CrashingPublisher(broker, crashes))


def create_consumer(database: Database, broker: EventBroker, crashes: Crashes) -> EventConsumer:
    def apply(session, event):
        crashes.reach("before applying")
        session.execute(
            sa.insert(_EFFECTS).values(key=event.partitionkey, number=event.data["number"])
        )
        crashes.reach("before commit")

    broker = CrashingBroker(broker, crashes)
    return EventConsumer("billing", database, broker, "billing", {"orders.placed": apply})


def main() -> None:
    side, folder, url, step, count = sys.argv[1:]
    crashes = Crashes(lambda: os.kill(os.getpid(), signal.SIGKILL), step, int(count))
    broker = open_broker(url)
    if side == "relay":
        database = open_side(Path(folder), "orders")
        relay = create_relay(database, broker, crashes)
        deliver = relay.deliver_pending_events

        def deliver_pending_events():
            has_more = deliver()
            crashes.reach("after marking")
            return has_more

        relay.deliver_pending_events = deliver_pending_events
        RelayTask(Outbox("orders", database, "events"), relay, (Exception,)).start()
    else:
        create_consumer(open_side(Path(folder), "billing"), broker, crashes).start()
    while True:
        sleep(60)


if __name__ == "__main__":
    main()
