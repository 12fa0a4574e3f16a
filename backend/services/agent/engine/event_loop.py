"""The asyncio event loop of a worker process, in a thread of its own. Agent runs execute in it."""

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

T = TypeVar("T")

_TOOL_THREADS: Final = 16
_CANCEL_RETRY_SECONDS: Final = 0.1


class EventLoopThread:
    """An event loop in a daemon thread, started at its first use in each process.

    Threads do not survive a fork: a loop started when the app was created would not run in the
    workers of a preloading server.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        os.register_at_fork(after_in_child=self._reset_after_fork)

    def submit(self, coroutine: Coroutine[Any, Any, None]) -> "LoopTask":
        """Start *coroutine*, which must not raise, and return its task."""
        return LoopTask(self._get_loop(), coroutine)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run *coroutine* and return its result. Blocks the calling thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._get_loop()).result()

    def _get_loop(self) -> asyncio.AbstractEventLoop:
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

    def _reset_after_fork(self) -> None:
        self._lock = threading.Lock()  # the parent's lock may have been held during the fork
        self._loop = None


class LoopTask:
    """A task in the event loop that other threads can cancel."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None]
    ) -> None:
        self._loop = loop
        self._task: asyncio.Task[None] | None = None
        loop.call_soon_threadsafe(self._start, coroutine)

    def cancel(self) -> None:
        """Cancel the task. Returns at once; the task ends soon after."""
        self._loop.call_soon_threadsafe(self._cancel)

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._task = self._loop.create_task(coroutine)

    def _cancel(self) -> None:
        # Repeat until the task ends: wait_for of Python 3.11 loses a cancellation that arrives
        # together with the awaited result (python/cpython#86296), and libraries use wait_for.
        if self._task is not None and not self._task.done():
            self._task.cancel()
            self._loop.call_later(_CANCEL_RETRY_SECONDS, self._cancel)
