"""Subscriptions of one process with a broker that responds late or fails."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from backend.services.realtime.clients.memory_broker import MemoryBroker
from backend.services.realtime.domain.hub import Hub
from backend.services.realtime.domain.topics import Topic, build_stream_name, find_kind

KIND = find_kind("packages")
TOPIC = Topic("packages", build_stream_name(KIND, "packages", "tenant-a", "user-ada"), KIND)


class LateBroker(MemoryBroker):
    """A broker whose replies arrive in later turns of the event loop, as those of a server.

    Attributes:
        failures: raised by the next calls of `read`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[Exception] = []

    async def read(self, *arguments):
        for _ in range(3):
            await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop()
        return await super().read(*arguments)


class Subscriber:
    """A subscriber that keeps what it receives."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.is_lost = False

    @staticmethod
    def encoder(_name, _position, publication) -> bytes:
        return publication.data.encode()

    def deliver(self, frame, _stream) -> None:
        self.received.append(frame)

    def stream_lost(self, _stream) -> None:
        self.is_lost = True


class World:
    """A hub whose tasks can be awaited."""

    def __init__(self) -> None:
        self.broker = LateBroker()
        self._tasks: list[asyncio.Task[None]] = []
        self.hub = Hub(self.broker, self._create_task)
        self.broker.start(self.hub.receive, lambda _: None, lambda: None, lambda: None)

    async def subscribe(self) -> Subscriber:
        subscriber = Subscriber()
        await self.hub.subscribe(TOPIC, subscriber, None, lambda _replay: None)
        return subscriber

    async def publish(self, data: str) -> None:
        """Publish, and wait until all tasks of the hub have ended."""
        await self.broker.publish(TOPIC.stream, data, KIND.retention)
        await self.wait()

    async def wait(self) -> None:
        while self._tasks:
            await self._tasks.pop()

    def _create_task(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(coroutine))


def test_client_that_subscribes_while_the_last_one_leaves_receives_publications():
    async def run():
        world = World()
        first = await world.subscribe()
        world.hub.unsubscribe(TOPIC, first)
        second = await world.subscribe()
        await world.wait()
        await world.publish("1")
        await world.publish("2")
        assert second.received == [b"1", b"2"]

    asyncio.run(run())


def test_publications_are_delivered_if_the_connection_is_lost_during_a_subscription():
    async def run():
        world = World()
        subscription = asyncio.create_task(world.subscribe())
        await asyncio.sleep(0)
        world.hub.connection_lost()
        await world.hub.recover()
        subscriber = await subscription
        await world.wait()
        await world.publish("1")
        assert subscriber.received == [b"1"]

    asyncio.run(run())


def test_subscribers_are_informed_if_missed_publications_cannot_be_read():
    async def run():
        world = World()
        subscriber = await world.subscribe()
        world.hub.connection_lost()
        world.broker.failures.append(ValueError("an unexpected reply"))
        await world.hub.recover()
        await world.wait()
        assert subscriber.is_lost
        again = await world.subscribe()
        await world.publish("1")
        assert again.received == [b"1"]

    asyncio.run(run())


def test_failed_subscription_can_be_repeated():
    async def run():
        world = World()
        world.broker.failures.append(ValueError("an unexpected reply"))
        with pytest.raises(ValueError, match="unexpected"):
            await world.subscribe()
        subscriber = await world.subscribe()
        await world.wait()
        await world.publish("1")
        assert subscriber.received == [b"1"]

    asyncio.run(run())
