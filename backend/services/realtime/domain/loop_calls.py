"""Calls of the broker from Flask's threads: the broker runs on the event loop of the worker."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

from backend.services.realtime.model import Broker, BrokerUnavailable

T = TypeVar("T")
_TIMEOUT_SECONDS = 3.0


class LoopCalls:
    """Runs coroutines with *broker* on the event loop."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self._loop: asyncio.AbstractEventLoop | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Use *loop* for all calls."""
        self._loop = loop

    def run(self, call: Callable[[Broker], Coroutine[Any, Any, T]]) -> T:
        """Return the result of *call*, which gets the broker.

        Raises:
            BrokerUnavailable: the broker does not respond, or there is no event loop.
        """
        if self._loop is None:
            raise BrokerUnavailable
        future = asyncio.run_coroutine_threadsafe(call(self.broker), self._loop)
        try:
            return future.result(_TIMEOUT_SECONDS)
        except FutureTimeout as error:
            future.cancel()
            raise BrokerUnavailable from error
