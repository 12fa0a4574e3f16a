"""One asyncio loop in a thread of its own, for each process: where the agent's runs live."""

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

T = TypeVar("T")

_TOOL_THREADS: Final = 16
_INSISTING_SECONDS: Final = 0.1


class LoopThread:
    """Starts its loop at the first run, so that a forked worker gets one of its own.

    A thread does not survive a fork: a loop made when the app was built would be dead in every
    worker that a preloading server forks.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        os.register_at_fork(after_in_child=self._forget)

    def submit(self, work: Coroutine[Any, Any, None]) -> "Work":
        """Run *work*, which raises nothing, in the loop."""
        return Work(self._running(), work)

    def ask(self, question: Coroutine[Any, Any, T]) -> T:
        """What *question* comes to in the loop; the thread that asks waits for it."""
        return asyncio.run_coroutine_threadsafe(question, self._running()).result()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._loop.set_default_executor(
                    ThreadPoolExecutor(_TOOL_THREADS, thread_name_prefix="agent-tool")
                )
                threading.Thread(
                    target=self._loop.run_forever, name="agent-loop", daemon=True
                ).start()
            return self._loop

    def _forget(self) -> None:
        self._lock = threading.Lock()  # the parent's may have been held at the fork
        self._loop = None


class Work:
    """A coroutine in the loop, which other threads may cancel."""

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> None:
        self._loop = loop
        self._task: asyncio.Task[None] | None = None
        loop.call_soon_threadsafe(self._start, work)

    def cancel(self) -> None:
        """End it soon, whatever it waits for."""
        self._loop.call_soon_threadsafe(self._cancel)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = self._loop.create_task(work)

    def _cancel(self) -> None:
        # Again until it ends: Python 3.11's wait_for forgets a cancellation that comes together
        # with what it waited for (python/cpython#86296), and models are waited for in it.
        if self._task is not None and not self._task.done():
            self._task.cancel()
            self._loop.call_later(_INSISTING_SECONDS, self._cancel)
