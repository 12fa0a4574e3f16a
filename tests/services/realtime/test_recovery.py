"""Two processes, unmodified SDK clients and lost connections: every publication once, in order."""

import asyncio
import random
import threading
import time

import pytest
from centrifuge import (
    Client,
    PublicationContext,
    SubscribedContext,
    SubscriptionEventHandler,
)
from redis.asyncio.client import PubSub

from backend.chassis.messaging.topics import stream_channel, tenant_stream
from backend.security.redis import connect
from backend.security.revocation import CHANNEL as REVOCATION_CHANNEL
from backend.services.realtime.edge.server import RealtimeServer
from tests.servers import free_port, valkey, wait_until

TENANT = "tenant-of-user-ada"
MESSAGES = 300


class Receiver(SubscriptionEventHandler):
    """A client of the Python SDK, on an event loop in a thread."""

    def __init__(self, url, token):
        self.received = []
        self.lost = 0
        self.subscribed = threading.Event()
        self._url, self._token = url, token
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self.subscribed.wait(60)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)

    async def on_publication(self, ctx: PublicationContext) -> None:
        self.received.append(ctx.pub.data["n"])

    async def on_subscribed(self, ctx: SubscribedContext) -> None:
        if ctx.was_recovering and not ctx.recovered:
            self.lost += 1
        self.subscribed.set()

    async def _run(self):
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        client = Client(
            f"{self._url}/ws/connect",
            token=self._token,
            min_reconnect_delay=0.05,
            max_reconnect_delay=0.3,
        )
        await client.connect()
        subscription = client.new_subscription("packages", events=self)
        await subscription.subscribe()
        await self._stop.wait()
        await client.disconnect()
        # The SDK leaves a transport open if its connection breaks.
        for transport in list(self._loop._transports.values()):
            transport.abort()
        await asyncio.sleep(0)


@pytest.fixture
def persistent_valkey(tmp_path):
    """Return a function that (re)starts one server on the same port with the same data."""
    folder = tmp_path / "persistent"
    folder.mkdir()
    port = free_port()
    running = []

    def start():
        if running:
            running.pop().__exit__(None, None, None)
        manager = valkey(folder, port, ("--appendonly", "yes", "--dir", str(folder)))
        server = manager.__enter__()
        running.append(manager)
        return server

    yield start
    running.pop().__exit__(None, None, None)


def publish_all(services, messages=MESSAGES, disturb=lambda number: None):
    """Publish through the services in turn, again after each failure."""
    from backend.services.realtime.model import BrokerUnavailable

    for number in range(messages):
        disturb(number)
        deadline = time.monotonic() + 20
        while True:
            try:
                services[number % len(services)].publish(TENANT, "packages", {"n": number})
                break
            except BrokerUnavailable:
                assert time.monotonic() < deadline
                time.sleep(0.05)


@pytest.mark.slow
def test_sdk_clients_of_two_processes_receive_everything(start, identities, token, valkey):
    services = [start(valkey.url), start(valkey.url)]
    with Receiver(services[0].url, token) as first, Receiver(services[1].url, token) as second:
        publish_all(services)
        for receiver in (first, second):
            wait_until(lambda receiver=receiver: len(receiver.received) >= MESSAGES, 60)
            assert receiver.received == list(range(MESSAGES))


def test_nothing_is_lost_when_subscriptions_are_cut(start, identities, token, valkey):
    services = [start(valkey.url), start(valkey.url)]
    redis = connect(valkey.url)
    chance = random.Random(7)  # noqa: S311 - repeatable, not secret

    def disturb(number):
        if chance.random() < 0.05:
            redis.client_kill_filter(_type="pubsub")

    with Receiver(services[0].url, token) as first, Receiver(services[1].url, token) as second:
        publish_all(services, disturb=disturb)
        for receiver in (first, second):
            wait_until(lambda receiver=receiver: len(receiver.received) >= MESSAGES, 60)
            assert receiver.received == list(range(MESSAGES))
            assert receiver.lost == 0


@pytest.mark.parametrize("method", ["get_message", "subscribe"])
def test_subscriptions_recover_after_an_unexpected_error_of_the_client(
    start, token, valkey, monkeypatch, method
):
    service = start(valkey.url)
    redis = connect(valkey.url)
    failures = [RuntimeError("the handler is closed"), AttributeError("no writer")]
    original = getattr(PubSub, method)

    async def fail(self, *arguments, **options):
        if failures and arguments != (REVOCATION_CHANNEL,):
            raise failures.pop()
        return await original(self, *arguments, **options)

    with Receiver(service.url, token) as receiver:
        monkeypatch.setattr(PubSub, method, fail)
        redis.client_kill_filter(_type="pubsub")
        publish_all([service], 3)
        wait_until(lambda: len(receiver.received) >= 3)
        assert receiver.received == [0, 1, 2]
    assert not failures


def test_malformed_message_does_not_end_the_delivery(start, token, valkey):
    service = start(valkey.url)
    redis = connect(valkey.url)
    channel = stream_channel(tenant_stream(TENANT, "packages"))
    with Receiver(service.url, token) as receiver:
        for number, malformed in enumerate(["", "- x data", b"\xff"]):
            assert redis.publish(channel, malformed) == 1
            service.publish(TENANT, "packages", {"n": number})
            wait_until(lambda number=number: receiver.received == list(range(number + 1)))
            wait_until(lambda: redis.pubsub_numsub(channel)[0][1] == 1)


def test_delivery_resumes_after_sessions_could_not_be_checked(start, token, valkey, monkeypatch):
    service = start(valkey.url)
    redis = connect(valkey.url)
    failures = [ValueError("not a number")]
    check = RealtimeServer.is_session_revoked

    def fail_once(self, principal):
        if failures:
            raise failures.pop()
        return check(self, principal)

    with Receiver(service.url, token) as receiver:
        monkeypatch.setattr(RealtimeServer, "is_session_revoked", fail_once)
        redis.client_kill_filter(_type="pubsub")
        publish_all([service], 3)
        wait_until(lambda: receiver.received == [0, 1, 2])
    assert not failures


def test_nothing_is_lost_when_the_service_restarts(start, identities, token, valkey):
    publisher, port = start(valkey.url), free_port()
    running = [start(valkey.url, port=port)]

    def disturb(number):
        if number % 60 == 30:
            running.pop().stop()
            running.append(start(valkey.url, port=port))

    with Receiver(running[0].url, token) as receiver:
        publish_all([publisher], disturb=disturb)
        wait_until(lambda: len(receiver.received) >= MESSAGES)
        assert receiver.received == list(range(MESSAGES))
        assert receiver.lost == 0


@pytest.mark.slow
def test_nothing_is_lost_when_the_server_is_killed(start, identities, token, persistent_valkey):
    server = persistent_valkey()
    services = [start(server.url)]

    def disturb(number):
        if number in (50, 100):
            server.end()
            persistent_valkey()

    with Receiver(services[0].url, token) as receiver:
        publish_all(services, 150, disturb)
        wait_until(lambda: len(set(receiver.received)) >= 150)
        assert receiver.received == sorted(receiver.received)
        assert receiver.lost == 0
