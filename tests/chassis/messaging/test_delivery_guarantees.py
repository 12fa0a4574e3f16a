"""No event is lost, applied twice or out of order, whatever is killed at whatever step."""

import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

import kombu
import pytest
from amqp.exceptions import ChannelError
from redis.exceptions import RedisError

from backend.chassis.messaging.brokers import BrokerUnavailable, open_broker
from backend.chassis.messaging.brokers.local import LocalBroker
from backend.security.redis import connect, redis_key
from tests import servers
from tests.chassis.messaging import event_world
from tests.chassis.messaging.event_world import CONSUMER_STEPS, RELAY_STEPS, Crashes

ROOT = Path(__file__).parents[3]
_AOF = ["--appendonly", "yes", "--appendfsync", "always"]
_STEPS = [step for step in (*RELAY_STEPS, *CONSUMER_STEPS) if step != "after marking"]


class Crash(BaseException):
    """The simulated end of a process."""


def crash():
    raise Crash


@contextmanager
def running_consumer(database, broker, crashes):
    """Run a consumer in a thread until the end of the block, or until it crashes."""
    consumer = event_world.create_consumer(database, broker, crashes)
    stopping = threading.Event()

    def receive():
        while not stopping.is_set():
            try:
                consumer.receive_once(0.05)
            except Crash:
                # The next process.
                consumer._broker._crashes = Crashes(crash)
            except BrokerUnavailable:
                continue

    thread = threading.Thread(target=receive)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
        consumer.close()


def deliver_with_crashes(tmp_path, open_world_broker, restart_broker=lambda: None):
    """Deliver 60 events of five keys, with a crash at each step of relay and consumer."""
    orders = event_world.open_side(tmp_path, "orders")
    billing = event_world.open_side(tmp_path, "billing")
    steps = [step for step in _STEPS for _ in range(2)]
    batches = [range(60)[index :: len(steps)] for index in range(len(steps))]
    ordered = iter(range(60))
    for step, batch in zip(steps, batches, strict=True):
        placed = list(islice(ordered, len(batch)))
        event_world.place_orders(orders, placed, keys=5)
        crashes = Crashes(crash, step, 1)
        broker = open_world_broker()
        with running_consumer(billing, broker, crashes):
            with suppress(Crash, BrokerUnavailable):
                event_world.create_relay(orders, broker, crashes).deliver_pending_events()
            restart_broker()
            relay = event_world.create_relay(orders, broker, Crashes(crash))
            # The lease of the relay that crashed expires.
            relay._holder = "relay"
            with orders.write() as session:
                session.connection().exec_driver_sql("DELETE FROM orders_leases")

            def deliver(relay=relay, count=placed[-1] + 1):
                with suppress(BrokerUnavailable):
                    relay.deliver_pending_events()
                return len(event_world.list_effects(billing)) >= count

            servers.wait_until(deliver)
        broker.close()
    effects = event_world.list_effects(billing)
    orders.engine.dispose()
    billing.engine.dispose()
    return effects


def test_events_within_a_process_survive_crashes_at_every_step(tmp_path):
    effects = deliver_with_crashes(tmp_path, lambda: LocalBroker(timeout_seconds=0.3))

    event_world.check_effects(effects, 60)


@pytest.mark.slow
def test_events_over_valkey_survive_crashes_and_kills_of_the_server(tmp_path):
    (folder := tmp_path / "valkey").mkdir()
    port = servers.free_port()
    running = []

    def restart():
        if running:
            server, context = running.pop()
            server.end()
            context.__exit__(None, None, None)
        context = servers.valkey(folder, port, _AOF)
        running.append((context.__enter__(), context))

    restart()
    try:
        url = running[0][0].url
        effects = deliver_with_crashes(tmp_path, lambda: open_broker(url), restart)
    finally:
        running[0][1].__exit__(None, None, None)

    event_world.check_effects(effects, 60)


class Suite:
    """Relay and consumer as processes that are killed, and a broker that is stopped."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.orders = event_world.open_side(folder, "orders")
        self.billing = event_world.open_side(folder, "billing")
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, side: str, step: str = "", count: int = 1) -> None:
        """Start *side*, which kills itself when it reaches *step* for the *count*-th time."""
        module = "tests.chassis.messaging.event_world"
        arguments = [sys.executable, "-m", module, side, str(self.folder), self.url, step]
        with (self.folder / f"{side}.log").open("ab") as log:
            self._running[side] = subprocess.Popen(
                [*arguments, str(count)], cwd=ROOT, stdout=log, stderr=log
            )

    def wait_for_end(self, side: str) -> None:
        self._running[side].wait(timeout=60)
        self._expire_leases()

    def kill_all(self) -> None:
        for child in self._running.values():
            child.kill()
            child.wait()
        self._expire_leases()

    def close(self) -> None:
        self.kill_all()
        self.orders.engine.dispose()
        self.billing.engine.dispose()

    def _expire_leases(self) -> None:
        with self.orders.write() as session:
            session.connection().exec_driver_sql("DELETE FROM orders_leases")
        if self.url.startswith("redis"):
            with suppress(RedisError), connect(self.url, timeout=2) as redis:
                redis.delete(redis_key("events", "lease", "billing"))


def run_with_kills(folder, url, stop_broker):
    """Deliver 3,000 events of 50 keys while everything is killed at each step."""
    suite = Suite(folder, url)
    placed = 0
    try:
        # The queue of a consumer exists from its first start on.
        suite.start("consumer")
        servers.wait_until(lambda: broker_has_consumer(url))
        for step in (*RELAY_STEPS, *CONSUMER_STEPS, "", ""):
            suite.kill_all()
            suite.start("relay", step if step in RELAY_STEPS else "")
            suite.start("consumer", step if step in CONSUMER_STEPS else "", 2)
            for _ in range(30):
                event_world.place_orders(suite.orders, range(placed, placed + 10), keys=50)
                placed += 10
            if step:
                side = "relay" if step in RELAY_STEPS else "consumer"
                suite.wait_for_end(side)
                suite.start(side)
            stop_broker()
        assert placed == 3000
        servers.wait_until(lambda: len(event_world.list_effects(suite.billing)) >= placed, 180)
        return event_world.list_effects(suite.billing)
    finally:
        suite.close()


def broker_has_consumer(url):
    """Return whether events that are published now reach the consumer `billing`."""
    if not url.startswith("amqp"):
        return True
    with suppress(OSError, ChannelError), kombu.Connection(url) as connection:
        connection.default_channel.queue_declare("suite.billing", passive=True)
        return True
    return False


class RestartedServer:
    """A server on one port that is killed and started again on its data."""

    def __init__(self, start) -> None:
        self._start = start
        self._context = start()
        self.server = self._context.__enter__()

    def restart(self) -> None:
        self.server.end()
        self.close()
        self._context = self._start()
        self.server = self._context.__enter__()

    def close(self) -> None:
        self._context.__exit__(None, None, None)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["valkey", "rabbitmq"])
def test_events_survive_kills_of_relay_consumer_and_broker(tmp_path, kind):
    if kind == "rabbitmq" and not servers.RABBITMQ.exists():
        pytest.skip("RabbitMQ is not installed: apt-get install rabbitmq-server")
    (folder := tmp_path / "server").mkdir()
    port = servers.free_port()
    if kind == "valkey":
        broker = RestartedServer(lambda: servers.valkey(folder, port, ["--appendonly", "yes"]))
    else:
        broker = RestartedServer(lambda: servers.rabbitmq(folder, port))
    try:
        effects = run_with_kills(tmp_path, broker.server.url, broker.restart)
    finally:
        broker.close()

    event_world.check_effects(effects, 3000)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_events_over_kafka_survive_kills_and_a_frozen_broker(tmp_path, tansu_binary):
    # Tansu keeps its data in memory, so it is frozen instead of killed.
    with servers.tansu(tmp_path, tansu_binary) as server:

        def freeze():
            server.freeze()
            time.sleep(1)
            server.thaw()

        effects = run_with_kills(tmp_path, server.url, freeze)

    event_world.check_effects(effects, 3000)
